// The engine's own bits of Cpu::attention (see Attention in x86/cpu.h).
#pragma once

#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

inline constexpr uint32_t kStopAttention = 1u
                                           << 4;  // Somebody waits for all processors to stand (mmu/world.h).
inline constexpr uint32_t kKickAttention = 1u << 5;   // run() shall return.
inline constexpr uint32_t kDebugAttention = 1u << 6;  // Cpu::pending_debug was set.
inline constexpr uint32_t kCodeAttention = 1u << 7;   // Translations may be out of date.

}  // namespace alcove::cpu::soft
