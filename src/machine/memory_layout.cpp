#include "machine/memory_layout.h"

#include <fmt/format.h>

#include <algorithm>

#include "spec/linux_boot.h"

namespace alcove::machine {

using namespace layout;

Result<MemoryLayout> lay_out_memory(uint64_t memory_size, unsigned address_bits, uint64_t firmware_size) {
  using namespace spec::linux_boot;
  MemoryLayout result;
  result.low_size = std::min(memory_size, kLowMemoryEnd);
  result.high_size = memory_size - result.low_size;
  // Firmware, too, puts its window at such a multiple or at the end of what the processor addresses.
  const uint64_t end = kHighMemory + result.high_size, addressed = uint64_t{1} << address_bits;
  if (result.high_size > addressed - kHighMemory) {
    return fail(
        ErrorCode::invalid_virtual_machine_configuration, "memory_size",
        fmt::format(
            "with what is between memory's halves for devices, it does not fit into the {} GiB that the "
            "processors address",
            addressed >> 30),
        "give the machine less memory");
  }
  result.pci_window64 = std::min(
      addressed, (end + kHighPciWindowAlignment - 1) / kHighPciWindowAlignment * kHighPciWindowAlignment);
  result.pci_window64_end = addressed;

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
