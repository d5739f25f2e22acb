#include "machine/board.h"

#include <fmt/format.h>

#include <algorithm>

namespace alcove::machine {

using namespace layout;

namespace {

// Pins of the I/O APIC. The timer's is what the MADT's override of interrupt 0 says.
constexpr unsigned kTimerPin = 2, kRtcPin = 8, kSciPin = 9, kPciPin = 16, kPciWires = 4;
constexpr uint16_t kPmPort = 0x600, kHotPlugPort = 0x640;  // Both within what the LPC bridge claims.
constexpr unsigned kHotPlugEvent = 1;
constexpr unsigned kLpcSlot = 31;

struct SerialPlace {
  uint16_t port;
  unsigned pin;
};
// COM3 and COM4 traditionally share the interrupts of the first two, which edges do not allow.
constexpr SerialPlace kSerialPlaces[Board::kSerialPorts] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 5}, {0x2e8, 7}};

firmware::BoardDescription describe(unsigned cpu_count, const MemoryLayout& layout) {
  return {.cpu_count = cpu_count,
          .local_apic_address = static_cast<uint32_t>(kLocalApic),
          .ioapic_address = static_cast<uint32_t>(kIoApic),
          .ecam_address = kEcam,
          .last_bus = kLastBus,
          .memory_window32 = {kPciWindow, kPciWindow + kPciWindowSize - 1},
          .memory_window64 = {layout.pci_window64, layout.pci_window64_end - 1},
          .first_pci_interrupt = kPciPin,
          .pci_interrupt_count = kPciWires,
          .pm_port = kPmPort,
          .sci = kSciPin,
          .hot_plug = {.slots = {}, .port = kHotPlugPort, .event = kHotPlugEvent},
          .sleep_type_off = chips::AcpiPm::kSleepTypeOff,
          .reset_port = chips::ResetControl::kPort,
          .reset_value = chips::ResetControl::kResetValue,
          .rtc_century = chips::Rtc::kCentury};
}

}  // namespace

Board::Board(cpu::Vm& vm, IoRouter& router, exec::VirtualClock& clock, const MemoryLayout& layout,
             BoardEvents events)
    : router_(router),
      description_(describe(vm.cpu_count(), layout)),
      identity_{
          .cpu_count = vm.cpu_count(),
          .cpu_megahertz = static_cast<uint16_t>(std::min<uint64_t>((vm.tsc_khz() + 500) / 1000, 0xffff)),
          .low_memory_size = layout.low_size,
          .high_memory_size = layout.high_size,
          .version = "1"},
      ioapic_(vm,
              [&vm](const chips::IoApic::LevelVectors& vectors) { vm.set_level_triggered_vectors(vectors); }),
      pit_(clock, ioapic_.line(kTimerPin)),
      rtc_(clock, ioapic_.line(kRtcPin)),
      pm_(clock, ioapic_.line(kSciPin), std::move(events.power_off)),
      hot_plug_([this] { pm_.raise_general_event(kHotPlugEvent); }, std::move(events.eject)),
      reset_(std::move(events.reset)),
      host_bridge_(kEcam),
      lpc_bridge_(kPmPort) {
  router.ioapic = &ioapic_;
}

Result<std::unique_ptr<Board>> Board::create(cpu::Vm& vm, IoRouter& router, exec::VirtualClock& clock,
                                             const MemoryLayout& layout, BoardEvents events) {
  std::unique_ptr<Board> board(new Board(vm, router, clock, layout, std::move(events)));
  if (auto connected = board->connect(layout); !connected) return std::unexpected(connected.error());
  return board;
}

Result<> Board::connect(const MemoryLayout& layout) {
  struct {
    uint16_t port;
    uint16_t count;
    bus::Device& device;
    const char* name;
  } const ports[] = {
      {0x20, 2, pics_[0], "interrupt controller 1"},
      {0x40, 4, pit_.ports(), "interval timer"},
      {0x61, 1, pit_.control_port(), "system control"},
      {0x64, 1, reset_.keyboard_port(), "keyboard controller"},
      {0x70, 2, rtc_, "real-time clock"},
      {0x80, 1, delay_, "delay port"},
      {0x92, 1, reset_.fast_port(), "fast reset"},
      {0xa0, 2, pics_[1], "interrupt controller 2"},
      {0xed, 1, delay_, "second delay port"},
      {0x4d0, 2, edge_level_, "edge/level control"},
      {kPmPort, chips::AcpiPm::kSize, pm_, "power management"},
      {kHotPlugPort, chips::PciHotPlug::kSize, hot_plug_, "hot plug"},
  };
  for (const auto& window : ports) {
    if (auto added = router_.ports.add(window.port, window.count, window.device, window.name); !added)
      return added;
  }
  if (auto added = router_.memory.add(kIoApic, 0x1000, ioapic_, "I/O APIC"); !added) return added;

  pci::RootOptions options{.ecam = {kEcam, kEcamSize},
                           .low = {kPciWindow, kPciWindowSize},
                           .high = {layout.pci_window64, layout.pci_window64_end - layout.pci_window64},
                           .reset_control = &reset_.reset_port()};
  for (unsigned wire = 0; wire < kPciWires; ++wire) {
    options.interrupt_lines[wire] = &ioapic_.line(kPciPin + wire);
    options.interrupt_numbers[wire] = static_cast<uint8_t>(kPciPin + wire);
  }
  auto root = pci::Root::create(router_.ports, router_.memory, options);
  if (!root) return std::unexpected(root.error());
  root_ = std::move(*root);
  if (auto added = root_->add(0, 0, host_bridge_, "host bridge"); !added) return added;
  return root_->add(kLpcSlot, 0, lpc_bridge_, "LPC bridge");
}

Result<> Board::add_uart(serial::Port& port) {
  if (uarts_.size() == kSerialPorts) {
    return fail(ErrorCode::virtual_machine_limit_exceeded, "serial_ports",
                "a PC has at most four 16550 ports",
                "use VirtioConsoleDeviceSerialPortConfiguration for more");
  }
  const SerialPlace& place = kSerialPlaces[uarts_.size()];
  uarts_.push_back(std::make_unique<chips::Uart>(port, ioapic_.line(place.pin)));
  description_.serial_ports.push_back({place.port, place.pin});
  return router_.ports.add(place.port, chips::Uart::kSize, *uarts_.back(),
                           fmt::format("COM{}", uarts_.size()));
}

Result<> Board::add_pci_device(pci::Function& function, const std::string& name) {
  if (next_slot_ == kLpcSlot) {
    return fail(ErrorCode::virtual_machine_limit_exceeded, name,
                fmt::format("the machine has only {} slots for PCI devices", kLpcSlot - 1),
                "configure fewer devices");
  }
  return root_->add(next_slot_++, 0, function, name);
}

Result<unsigned> Board::plug(pci::Function& function, const std::string& name) {
  // Round all of them, so that the guest has long noticed the end of what was there before.
  const unsigned count = kLpcSlot - next_slot_;
  for (unsigned i = 0; i < count; ++i) {
    const unsigned after = std::max(latest_plugged_, next_slot_ - 1) + 1 - next_slot_;
    const unsigned slot = next_slot_ + (after + i) % count;
    if (plugged_slots_.contains(slot)) continue;
    if (auto placed = root_->plug(slot, function, name); !placed) return std::unexpected(placed.error());
    plugged_slots_.insert(slot);
    latest_plugged_ = slot;
    return slot;
  }
  return fail(
      ErrorCode::virtual_machine_limit_exceeded, name,
      fmt::format("none of the {} slots for PCI devices is free", kLpcSlot - 1),
      count == 0 ? "configure fewer devices, or plug in a USB disk" : "detach a disk, or plug in a USB disk");
}

void Board::unplug(unsigned slot, pci::Function& function) {
  root_->remove(slot, function);
  hot_plug_.forget(slot);
  plugged_slots_.erase(slot);
}

// The tables are made when all that is there from the start is there.
void Board::describe_slots() {
  description_.hot_plug.slots.clear();
  for (unsigned slot = next_slot_; slot < kLpcSlot; ++slot) description_.hot_plug.slots.push_back(slot);
}

void Board::reset() {
  root_->reset();
  for (const auto& uart : uarts_) uart->reset();
  pit_.reset();
  rtc_.reset();
  pm_.reset();
  hot_plug_.reset();
  reset_.reset();
  for (chips::Pic& pic : pics_) pic.reset();
  edge_level_.reset();
  ioapic_.reset();
}

Result<uint64_t> Board::write_tables(memory::GuestMemory& memory, const std::array<uint8_t, 16>& identifier) {
  describe_slots();
  const firmware::AcpiTables acpi = firmware::build_acpi_tables(description_, kAcpiTables);
  identity_.uuid = identifier;
  const std::vector<uint8_t> smbios = firmware::build_smbios(identity_, kSmbios);
  if (acpi.tables.size() > kAcpiTablesSize) {
    return fail(ErrorCode::virtual_machine_limit_exceeded, "cpu_count",
                "the ACPI tables have no room for so many");
  }
  if (!memory.write(kAcpiTables, std::as_bytes(std::span(acpi.tables))) ||
      !memory.write(kSmbios, std::as_bytes(std::span(smbios)))) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, "memory_size", "is less than 1 MiB");
  }
  return acpi.rsdp;
}

std::vector<firmware::FwCfgFile> Board::firmware_files(const std::array<uint8_t, 16>& identifier) {
  identity_.uuid = identifier;
  describe_slots();
  std::vector<firmware::FwCfgFile> files = firmware::acpi_files(description_);
  for (firmware::FwCfgFile& file : firmware::smbios_files(identity_)) files.push_back(std::move(file));
  if (!boot_order_.empty()) files.push_back(firmware::boot_order_file(boot_order_));
  return files;
}

}  // namespace alcove::machine
