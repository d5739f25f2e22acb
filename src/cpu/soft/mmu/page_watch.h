// Pages whose stores are kept from the fast path because they hold decoded code, and those that hold some
// over and over: stores to these are kept from it even while there is none, as making sure that none passes
// takes longer than to look at each. Until many have found nothing to invalidate.
#pragma once

#include <cstdint>

#include "cpu/soft/mmu/physical.h"

namespace alcove::cpu::soft {

// Beside the others in PageState::bits.
inline constexpr uint32_t kRewritten = 1u << 3;
// What counts stores that have invalidated nothing, and how many it takes.
inline constexpr uint32_t kQuietWrite = 1u << 16, kQuietWrites = 256;
// How often the code must have changed before.
inline constexpr uint32_t kOftenRewritten = 16;

// Whether stores must not pass. If not, PageState::kProtected is not set, and will not be before all
// processors stand.
bool is_watched(PageState& state);

// Forgets the decoded instructions, of which memory has changed.
void invalidate_code(PageState& state);

// After a store that invalidated nothing.
void note_quiet_write(PageState& state);

}  // namespace alcove::cpu::soft
