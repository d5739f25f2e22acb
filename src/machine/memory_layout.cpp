#include "machine/memory_layout.h"

#include <algorithm>

#include "spec/linux_boot.h"

namespace alcove::machine {

using namespace layout;

MemoryLayout lay_out_memory(uint64_t memory_size, uint64_t firmware_size) {
  using namespace spec::linux_boot;
  MemoryLayout result;
  result.low_size = std::min(memory_size, kLowMemoryEnd);
  result.high_size = memory_size - result.low_size;
  // Firmware, too, puts its window at such a multiple or at the end of what the processor addresses.
  const uint64_t end = kHighMemory + result.high_size;
  result.pci_window64 =
      (end + kHighPciWindowAlignment - 1) / kHighPciWindowAlignment * kHighPciWindowAlignment;

  result.regions.push_back({.guest_address = 0, .size = result.low_size});
  if (firmware_size) {
    result.regions.push_back(
        {.guest_address = kHighMemory - firmware_size, .size = firmware_size, .read_only = true});
  }
  if (result.high_size) result.regions.push_back({.guest_address = kHighMemory, .size = result.high_size});

  result.map = {{0, kConventionalEnd, ram},
                {kConventionalEnd, 0xa0000 - kConventionalEnd, reserved},
                {kAcpiTables, kExtendedMemory - kAcpiTables, reserved},
                {kExtendedMemory, result.low_size - kExtendedMemory, ram},
                {kEcam, kEcamSize, reserved}};
  if (result.high_size) result.map.push_back({kHighMemory, result.high_size, ram});
  return result;
}

}  // namespace alcove::machine
