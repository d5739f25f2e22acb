#include <fmt/format.h>

#include <string>
#include <utility>

#include "firmware/acpi_tables.h"
#include "firmware/aml.h"
#include "firmware/table.h"

namespace alcove::firmware {

using namespace aml;

unsigned pci_interrupt(const BoardDescription& board, unsigned device, unsigned pin) {
  return board.first_pci_interrupt + (device + pin) % board.pci_interrupt_count;
}

namespace {

// 6.2.13: each entry maps one pin of one device to a global interrupt.
Term pci_routing(const BoardDescription& board) {
  Terms entries;
  for (unsigned device = 1; device < 32; ++device) {
    for (unsigned pin = 0; pin < 4; ++pin) {
      entries.push_back(package({integer(device << 16 | 0xffff), integer(pin), integer(0),
                                 integer(pci_interrupt(board, device, pin))}));
    }
  }
  return package(entries);
}

// 6.2.11: whatever native PCI Express feature the guest asks for, it may have: no firmware runs beside it.
Term operating_system_capabilities() {
  return method(
      "_OSC", 4,
      {create_dword_field(argument(3), 0, "CDW1"),
       if_else(equal(argument(0), uuid("33DB4D5B-1FF7-401C-9657-7441C03DD766")), {return_value(argument(3))},
               {or_into(reference("CDW1"), integer(4), reference("CDW1")),  // Unknown UUID.
                return_value(argument(3))})});
}

std::string slot_name(unsigned slot) {
  return fmt::format("S{:03X}", slot);
}

// ACPI's hot plug of PCI devices (6.3, 6.3.3): a device without children of ours for each slot, and the
// method that the general purpose event calls, which tells those that have something to be told.
Terms hot_plug_slots(const HotPlugDescription& hot_plug) {
  constexpr uint64_t kDeviceCheck = 1, kEjectRequest = 3;
  Terms result{io_region("HPRG", hot_plug.port, 12), dword_registers("HPRG", {"HPUP", "HPDN", "HPEJ"})};
  Terms tell;
  for (const auto& [name, value] : {std::pair("HPUP", kDeviceCheck), std::pair("HPDN", kEjectRequest)}) {
    tell.push_back(store(reference(name), local(0)));
    tell.push_back(store(local(0), reference(name)));
    for (const unsigned slot : hot_plug.slots) {
      tell.push_back(
          if_else(bits_of(local(0), integer(uint64_t{1} << slot)), {notify(slot_name(slot), value)}, {}));
    }
  }
  for (const unsigned slot : hot_plug.slots) {
    result.push_back(device(slot_name(slot),
                            {name("_ADR", integer(uint64_t{slot} << 16)), name("_SUN", integer(slot)),
                             method("_EJ0", 1, {store(integer(uint64_t{1} << slot), reference("HPEJ"))})}));
  }
  result.push_back(method("HPEV", 0, tell));
  return result;
}

Term pci_root(const BoardDescription& board) {
  Terms windows{word_bus_numbers(0, board.last_bus), io_port(0xcf8, 8), word_io_window(0x0000, 0x0cf7),
                word_io_window(0x0d00, 0xffff),
                dword_memory_window(static_cast<uint32_t>(board.memory_window32.first),
                                    static_cast<uint32_t>(board.memory_window32.last))};
  if (board.memory_window64.last > board.memory_window64.first) {
    windows.push_back(qword_memory_window(board.memory_window64.first, board.memory_window64.last));
  }
  Terms terms{name("_HID", eisa_id("PNP0A08")), name("_CID", eisa_id("PNP0A03")),
              name("_SEG", integer(0)),         name("_BBN", integer(0)),
              name("_UID", integer(0)),         name("_CRS", resources(windows)),
              name("_PRT", pci_routing(board)), operating_system_capabilities()};
  if (!board.hot_plug.slots.empty()) {
    for (Term& term : hot_plug_slots(board.hot_plug)) terms.push_back(std::move(term));
  }
  return device("PCI0", terms);
}

// What no device below PCI0 claims; without it Linux distrusts the ECAM range. The power management ports are
// claimed by the LPC bridge.
Term motherboard(const BoardDescription& board) {
  const auto ecam_size = static_cast<uint32_t>((board.last_bus + 1u) << 20);
  return device("MBRD",
                {name("_HID", eisa_id("PNP0C02")), name("_UID", integer(0)),
                 name("_CRS", resources({fixed_memory(static_cast<uint32_t>(board.ecam_address), ecam_size),
                                         io_port(0x80, 1), io_port(0x92, 1)}))});
}

Term serial_port(const SerialPortDescription& port, unsigned index) {
  return device(fmt::format("COM{}", index + 1),
                {name("_HID", eisa_id("PNP0501")), name("_UID", integer(index + 1)),
                 name("_CRS", resources({io_port(port.port, 8), interrupt(port.irq)}))});
}

}  // namespace

std::vector<uint8_t> build_dsdt(const BoardDescription& board) {
  Terms devices{pci_root(board), motherboard(board),
                device("RTC0", {name("_HID", eisa_id("PNP0B00")),
                                name("_CRS", resources({io_port(0x70, 2), interrupt(8)}))}),
                device("PIT0", {name("_HID", eisa_id("PNP0100")),
                                name("_CRS", resources({io_port(0x40, 4), io_port(0x61, 1)}))})};
  for (unsigned i = 0; i < board.serial_ports.size(); ++i) {
    devices.push_back(serial_port(board.serial_ports[i], i));
  }
  for (unsigned cpu = 0; cpu < board.cpu_count; ++cpu) {
    devices.push_back(
        device(fmt::format("C{:03X}", cpu), {name("_HID", string("ACPI0007")), name("_UID", integer(cpu))}));
  }
  const Term sleep_type = integer(board.sleep_type_off);
  Terms body{scope("_SB", devices), name("_S5", package({sleep_type, sleep_type, integer(0), integer(0)}))};
  if (!board.hot_plug.slots.empty()) {
    // 5.6.4.1: its status is cleared before the method is called.
    body.push_back(
        scope("_GPE", {method(fmt::format("_E{:02X}", board.hot_plug.event), 0, {call("_SB.PCI0.HPEV")})}));
  }

  std::vector<uint8_t> table = begin_table("DSDT", 2);
  for (const Term& term : body) table.insert(table.end(), term.begin(), term.end());
  finish_table(table);
  return table;
}

}  // namespace alcove::firmware
