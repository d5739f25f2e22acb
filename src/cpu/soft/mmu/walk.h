// Page walks (Intel SDM vol. 3, chapter 4): linear to physical addresses, permissions, accessed and dirty
// bits.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>

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

// The entries of long mode's tables that lead to a page, from the PML4's on, as they were when they were
// read.
struct TablePath {
  struct Entry {
    const uint64_t* host = nullptr;
    uint64_t value = 0;

    // Whether it still says so: where it leads, that it has been used, and whether it is global.
    bool holds() const;
  };
  std::array<Entry, 4> entries{};
  unsigned count = 0;  // 4, or fewer to a large page.

  const Entry& leaf() const { return entries[count - 1]; }
  uint64_t page_size() const { return uint64_t{1} << (12 + 9 * (4 - count)); }
  uint64_t physical() const;  // Of the page.
  bool may_be_run_by_supervisors() const;
};
// The first table; null without long mode's paging.
const uint64_t* first_table(const PhysicalMemory& memory, const PagingMode& mode);
// Whether there are global pages (CR4.PGE).
bool has_globals(const PagingMode& mode);
// None unless a processor may have it in its TLB without a walk that changes anything.
std::optional<TablePath> find_path(const PhysicalMemory& memory, const PagingMode& mode, uint64_t address);
// Another entry of the leaf's table, of this index; null if it leads nowhere that one may read.
std::optional<TablePath::Entry> beside(const TablePath& path, const PagingMode& mode, unsigned index);
bool is_global(const TablePath::Entry& leaf);
uint64_t physical_of(const TablePath::Entry& leaf);  // Of a page of 4 KiB.

}  // namespace alcove::cpu::soft
