// Bits of paging-structure entries (Intel SDM vol. 3, 4.5).
#pragma once

#include <cstdint>

#include "cpu/soft/mmu/walk.h"

namespace alcove::cpu::soft::table_entry {

inline constexpr uint64_t kPresent = 1u << 0, kWritable = 1u << 1, kUser = 1u << 2, kAccessed = 1u << 5,
                          kDirty = 1u << 6, kLarge = 1u << 7, kGlobal = 1u << 8,
                          kNoExecute = uint64_t{1} << 63;
inline constexpr uint64_t kAddress = ((uint64_t{1} << kPhysicalAddressBits) - 1) & ~uint64_t{0xfff};

}  // namespace alcove::cpu::soft::table_entry
