// The processors' way to the devices.
#pragma once

#include "bus/address_map.h"
#include "chips/ioapic.h"
#include "cpu/hypervisor.h"

namespace alcove::machine {

class IoRouter final : public cpu::IoHandler {
 public:
  bus::AddressMap ports;
  bus::AddressMap memory;
  chips::IoApic* ioapic = nullptr;  // Set before a processor runs.

  void port_read(uint16_t port, std::span<std::byte> data) override { ports.read(port, data); }
  void port_write(uint16_t port, std::span<const std::byte> data) override { ports.write(port, data); }
  void memory_read(uint64_t address, std::span<std::byte> data) override { memory.read(address, data); }
  void memory_write(uint64_t address, std::span<const std::byte> data) override {
    memory.write(address, data);
  }
  void end_of_interrupt(uint8_t vector) override { ioapic->end_of_interrupt(vector); }
};

}  // namespace alcove::machine
