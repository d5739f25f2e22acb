// Where code and data of a comparison lie, at the same addresses for the host's processor and for ours. Every
// page that is not named here is not mapped, so accesses that leave a page for it fault.
#pragma once

#include <cstdint>

namespace alcove::cpu::soft::testing {

inline constexpr uint64_t kBase = 0x100'0000;
inline constexpr uint64_t kSize = 0x1'0000;
inline constexpr uint64_t kTables = kBase;  // Four pages of page tables; ours only.
inline constexpr uint64_t kCode = kBase + 0x5000;
inline constexpr uint64_t kData = kBase + 0x7000;
inline constexpr uint64_t kDataSize = 0x2000;
inline constexpr uint64_t kReadOnly = kBase + 0xa000;
inline constexpr uint64_t kStack = kBase + 0xc000;
inline constexpr uint64_t kPage = 0x1000;

// In 16-bit mode CS, DS and ES begin at kBase and end at kBase + kSize; SS is flat and 32 bits wide.
// Elsewhere all are flat.
inline constexpr uint64_t code_base(unsigned code_size) {
  return code_size == 2 ? kBase : 0;
}

// Where the instruction under test lies; INT3 fills the rest of the page.
inline constexpr uint64_t kStart = kCode + 0x800;

}  // namespace alcove::cpu::soft::testing
