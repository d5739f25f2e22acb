// The translation cache that every data access looks into first.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace alcove::cpu::soft {

inline constexpr uint64_t kPageMask = ~uint64_t{0xfff};

// Translates one 4 KiB page of linear addresses to host memory. A tag is the page's address with the
// generation of its half of the address space in the low 12 bits; it says that accesses of that kind need no
// further check. Pages without RAM behind them, and for writes those that hold translated code or are being
// logged, have no matching tag, so their accesses take the slow path.
struct TlbEntry {
  uint64_t read_tag = ~uint64_t{0};
  uint64_t write_tag = ~uint64_t{0};
  uint64_t addend = 0;    // Host address minus linear address.
  uint64_t physical = 0;  // Of the page, with the bits below.

  static constexpr uint64_t kSizeBits = 0x3f;       // log2 of the size of the guest's page.
  static constexpr uint64_t kUser = 1u << 6;        // CPL 3 may read it.
  static constexpr uint64_t kReadOnly = 1u << 7;    // Written only because CR0.WP is off.
  static constexpr uint64_t kUpperLocal = 1u << 8;  // Not global, though of the upper half.
};

struct Tlb {
  static constexpr size_t kEntries = 1024;
  std::array<TlbEntry, kEntries> entries;

  TlbEntry& entry(uint64_t address) { return entries[(address >> 12) % kEntries]; }
};

// The tag that an access of `size` bytes at `address` needs. One that crosses into the next page asks for
// that page's tag in this page's slot, where it never is.
inline uint64_t wanted_tag(uint64_t address, size_t size, const std::array<uint64_t, 2>& generation) {
  return ((address + size - 1) & kPageMask) | generation[address >> 63];
}

}  // namespace alcove::cpu::soft
