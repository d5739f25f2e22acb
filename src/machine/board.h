// The PC's main board: chips, PCI root, and the tables that tell guests of them.
#pragma once

#include <alcove/error.h>

#include <array>
#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "chips/acpi_pm.h"
#include "chips/ioapic.h"
#include "chips/pci_hot_plug.h"
#include "chips/pic.h"
#include "chips/pit.h"
#include "chips/reset_control.h"
#include "chips/rtc.h"
#include "chips/uart.h"
#include "exec/virtual_clock.h"
#include "firmware/acpi_tables.h"
#include "firmware/fw_cfg_files.h"
#include "firmware/smbios.h"
#include "machine/io_router.h"
#include "machine/memory_layout.h"
#include "pci/bridges.h"
#include "pci/root.h"
#include "serial/port.h"

namespace alcove::machine {

// What the guest can ask of the board. Called on virtual CPUs' threads.
struct BoardEvents {
  std::function<void()> reset;
  std::function<void()> power_off;
  std::function<void(unsigned slot)> eject;  // It let go of what is in a slot, if there is anything.
};

class Board {
 public:
  static constexpr unsigned kSerialPorts = 4;

  // `vm` and `router` outlive the board.
  static Result<std::unique_ptr<Board>> create(cpu::Vm& vm, IoRouter& router, exec::VirtualClock& clock,
                                               const MemoryLayout& layout, BoardEvents events);

  // COM1, COM2… in order; before the machine runs.
  Result<> add_uart(serial::Port& port);
  // In the next free slot.
  Result<> add_pci_device(pci::Function& function, const std::string& name);
  // What comes while there is a guest, in one of the slots that are free, and goes again. No processor runs,
  // but where it says "any thread".
  Result<unsigned> plug(pci::Function& function, const std::string& name);
  void unplug(unsigned slot, pci::Function& function);
  void hide(unsigned slot) { root_->hide(slot); }                           // Any thread.
  void tell_arrival(unsigned slot) { hot_plug_.tell_arrival(slot); }        // Any thread.
  void ask_for(unsigned slot) { hot_plug_.ask_for(slot); }                  // Any thread.
  void stop_asking_for(unsigned slot) { hot_plug_.stop_asking_for(slot); }  // Any thread.
  // Where the latest one was put.
  unsigned latest_slot() const { return next_slot_ - 1; }
  // What firmware is to boot from, after those added before: an Open Firmware device path.
  void add_boot_device(std::string device_path) { boot_order_.push_back(std::move(device_path)); }

  // What the machine says to its guest's programs (SMBIOS type 11).
  void add_firmware_strings(const std::vector<std::string>& strings) {
    identity_.strings.insert(identity_.strings.end(), strings.begin(), strings.end());
  }

  void press_power_button() { pm_.press_power_button(); }
  // All as after power-on. No processor runs.
  void reset();

  // Writes the ACPI and SMBIOS tables and gives the address of the RSDP.
  Result<uint64_t> write_tables(memory::GuestMemory& memory, const std::array<uint8_t, 16>& identifier);
  // The same for firmware, which places them itself, with all else that it asks for.
  std::vector<firmware::FwCfgFile> firmware_files(const std::array<uint8_t, 16>& identifier);
  chips::Rtc& rtc() { return rtc_; }

 private:
  // What takes writes without effect, such as the delay port.
  struct Sink final : bus::Device {
    bus::Access read(uint64_t, std::span<std::byte>) override { return bus::Access::no_register; }
    bus::Access write(uint64_t, std::span<const std::byte>) override { return bus::Access::done; }
  };

  Board(cpu::Vm& vm, IoRouter& router, exec::VirtualClock& clock, const MemoryLayout& layout,
        BoardEvents events);
  Result<> connect(const MemoryLayout& layout);
  void describe_slots();

  IoRouter& router_;
  firmware::BoardDescription description_;
  firmware::SmbiosDescription identity_;

  chips::IoApic ioapic_;
  chips::Pit pit_;
  chips::Rtc rtc_;
  chips::AcpiPm pm_;
  chips::PciHotPlug hot_plug_;
  chips::ResetControl reset_;
  std::array<chips::Pic, 2> pics_;
  chips::EdgeLevelControl edge_level_;
  Sink delay_;
  std::vector<std::unique_ptr<chips::Uart>> uarts_;

  std::unique_ptr<pci::Root> root_;
  pci::HostBridge host_bridge_;
  pci::LpcBridge lpc_bridge_;
  unsigned next_slot_ = 1;
  std::set<unsigned> plugged_slots_;
  unsigned latest_plugged_ = 0;
  std::vector<std::string> boot_order_;
};

}  // namespace alcove::machine
