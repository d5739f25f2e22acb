// Page walks (Intel SDM vol. 3, chapter 4): linear to physical addresses, permissions, accessed and dirty
// bits.
#pragma once

#include <array>
#include <cstdint>
#include <expected>

#include "cpu/soft/mmu/physical.h"

namespace alcove::cpu::soft {

// What CPUID 80000008 reports.
inline constexpr unsigned kPhysicalAddressBits = 40;
inline constexpr unsigned kLinearAddressBits = 48;

inline bool is_canonical(uint64_t address) {
  return static_cast<uint64_t>(static_cast<int64_t>(address << 16) >> 16) == address;
}

// The registers that a walk depends on.
struct PagingMode {
  uint64_t cr0 = 0, cr3 = 0, cr4 = 0, efer = 0;
};

struct AccessKind {
  bool write = false;
  bool fetch = false;
  bool user = false;        // CPL 3, and not an implicit supervisor access.
  bool user_pages = false;  // A supervisor access that may touch user pages: no SMAP, or AC and explicit.
};

enum PageFaultCode : uint32_t {
  kFaultPresent = 1u << 0,
  kFaultWrite = 1u << 1,
  kFaultUser = 1u << 2,
  kFaultReserved = 1u << 3,
  kFaultFetch = 1u << 4,
};

struct Translation {
  uint64_t physical = 0;   // Of the address asked for.
  uint64_t page_size = 0;  // Of the guest's mapping.
  bool may_write = false;  // Stores of the same kind of access need no further walk: allowed, and D is set.
  bool global = false;
  bool user = false;      // U/S of all levels
  bool writable = false;  // R/W of all levels

  // The table with the entry of a page of 4 KiB.
  struct LastTable {
    const std::byte* host = nullptr;      // Null if it is not in RAM, or not of long mode.
    bool user = false, writable = false;  // U/S and R/W of the levels above.
  } last_table;
};

// Walks for the access `kind` at `address` (canonical), sets A and D bits. The error is a page fault's code.
std::expected<Translation, uint32_t> walk(PhysicalMemory& memory, const PagingMode& mode, uint64_t address,
                                          AccessKind kind);

// A page beside one that was looked up: programs touch those next. A processor may look up what has been used
// before whenever it likes.
struct Neighbour {
  uint64_t physical = 0;  // Of the page.
  bool present = false;   // With A set, so that it may be read.
  bool user = false;      // By CPL 3, too.
  bool writable = false;  // With D set.
  bool global = false;
};
// The eight pages whose entries are in one line with the address's, which is among them; that of the first is
// a multiple of 32 KiB. `table`: of the walk for the address.
using Neighbours = std::array<Neighbour, 8>;
Neighbours find_neighbours(const Translation::LastTable& table, const PagingMode& mode, uint64_t address);

}  // namespace alcove::cpu::soft
