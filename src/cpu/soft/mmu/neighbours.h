// Pages beside one that was looked up: programs touch those next. A processor may look up what has been used
// before whenever it likes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "cpu/soft/mmu/walk.h"

namespace alcove::cpu::soft {

struct Neighbour {
  uint64_t physical = 0;  // Of the page.
  bool present = false;   // With A set, so that it may be read.
  bool user = false;      // By CPL 3, too.
  bool writable = false;  // With D set.
  bool global = false;
};

// The eight pages of 4 KiB whose entries are in one line with the page's, which is among them; that of the
// first is a multiple of 32 KiB. None where the page is a large one, or entries are not of 64 bits in RAM.
using Neighbours = std::array<Neighbour, 8>;
std::optional<Neighbours> find_neighbours(const PhysicalMemory& memory, const PagingMode& mode,
                                          uint64_t address);

}  // namespace alcove::cpu::soft
