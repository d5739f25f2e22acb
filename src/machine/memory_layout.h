// Where a PC has its memory and devices.
#pragma once

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
inline constexpr uint64_t kLowMemoryEnd = 0xc0000000;
inline constexpr uint64_t kPciWindow = 0xc0000000, kPciWindowSize = 0x20000000;
inline constexpr uint64_t kEcam = 0xe0000000, kEcamSize = 0x10000000;
inline constexpr uint8_t kLastBus = kEcamSize / (1 << 20) - 1;
inline constexpr uint64_t kIoApic = 0xfec00000;
inline constexpr uint64_t kLocalApic = 0xfee00000;  // Inside the hypervisor.
inline constexpr uint64_t kHighMemory = 0x100000000;
inline constexpr uint64_t kHighPciWindowSize = uint64_t{32} << 30;
}  // namespace layout

struct MemoryLayout {
  uint64_t low_size = 0;   // From 0.
  uint64_t high_size = 0;  // From 4 GiB.
  uint64_t pci_window64 = 0;
  std::vector<memory::RegionSpec> regions;
  std::vector<boot::MemoryRange> map;  // For the guest (e820).
};

MemoryLayout lay_out_memory(uint64_t memory_size);

}  // namespace alcove::machine
