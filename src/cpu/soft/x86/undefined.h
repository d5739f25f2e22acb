// What instructions leave undefined depending on their operands; what they always leave undefined is in their
// rows. The one list of exceptions for comparisons with other implementations.
#pragma once

#include <array>
#include <cstdint>

#include "cpu/soft/x86/insn.h"

namespace alcove::cpu::soft {

struct Undefined {
  uint32_t flags = 0;        // Flags not to be compared.
  bool destination = false;  // The destination's value isn't defined either: do not compare at all.
};

// `gpr`: the registers before the instruction.
Undefined undefined_results(const Insn& insn, const std::array<uint64_t, 16>& gpr);

}  // namespace alcove::cpu::soft
