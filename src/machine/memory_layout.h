// Where a PC has its memory and devices.
#pragma once

#include <alcove/error.h>

#include <cstdint>
#include <vector>

#include "boot/linux_boot.h"
#include "memory/guest_memory.h"

namespace alcove::machine {

namespace layout {
inline constexpr uint64_t kConventionalEnd = 0x9fc00;
inline constexpr uint64_t kAcpiTables = 0xe0000;
inline constexpr uint64_t kAcpiTablesSize = 0x10000;
inline constexpr uint64_t kSmbios = 0xf0000;
inline constexpr uint64_t kExtendedMemory = 0x100000;
// As EFI firmware for a Q35 lays it out, which puts the ECAM and the PCI windows where it wants them.
inline constexpr uint64_t kLowMemoryEnd = 0xb0000000;
inline constexpr uint64_t kEcam = 0xb0000000, kEcamSize = 0x10000000;
inline constexpr uint64_t kPciWindow = 0xc0000000, kPciWindowSize = 0x3c000000;
inline constexpr uint8_t kLastBus = kEcamSize / (1 << 20) - 1;
inline constexpr uint64_t kIoApic = 0xfec00000;
inline constexpr uint64_t kLocalApic = 0xfee00000;    // Inside the hypervisor.
inline constexpr uint64_t kHighMemory = 0x100000000;  // Below it, firmware.
inline constexpr uint64_t kHighPciWindowAlignment = uint64_t{32} << 30;
}  // namespace layout

struct MemoryLayout {
  uint64_t low_size = 0;      // From 0.
  uint64_t high_size = 0;     // From 4 GiB.
  uint64_t pci_window64 = 0;  // Up to what processors address; empty if that leaves no room.
  uint64_t pci_window64_end = 0;
  std::vector<memory::RegionSpec> regions;
  std::vector<boot::MemoryRange> map;  // For the guest (e820).
};

// Processors address 2^`address_bits` bytes. `firmware_size` bytes of read-only memory end at 4 GiB; a
// multiple of 4 KiB, at most 16 MiB. An error if processors do not reach all memory.
Result<MemoryLayout> lay_out_memory(uint64_t memory_size, unsigned address_bits, uint64_t firmware_size = 0);

}  // namespace alcove::machine
