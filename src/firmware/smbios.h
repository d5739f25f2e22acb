// SMBIOS tables (DMTF DSP0134 3.0): what the machine says about itself to dmidecode and systemd.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace alcove::firmware {

struct SmbiosDescription {
  std::array<uint8_t, 16> uuid{};  // In the order of its text.
  unsigned cpu_count = 1;
  uint16_t cpu_megahertz = 0;          // 0: unknown.
  uint64_t low_memory_size = 0;        // From address 0.
  uint64_t high_memory_size = 0;       // From 4 GiB.
  std::string version;                 // Of this program.
  std::vector<std::string> strings{};  // OEM strings, of which guests' programs read some.
};

// The entry point and, right behind it, the structures; goes to `address`, a multiple of 16 between 0xF0000
// and 0xFFFFF, where guests look for it.
// The structures begin at kSmbiosStructures.
inline constexpr size_t kSmbiosEntrySize = 24, kSmbiosStructures = 32;
std::vector<uint8_t> build_smbios(const SmbiosDescription& machine, uint64_t address);

}  // namespace alcove::firmware
