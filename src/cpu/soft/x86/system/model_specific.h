// Model-specific registers (Intel SDM vol. 4), as far as the processor model has them.
#pragma once

#include <cstdint>

#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

// False: no such register, or the value is not allowed; the instruction raises #GP(0).
[[nodiscard]] bool read_model_specific(Cpu& cpu, uint32_t number, uint64_t& value);
[[nodiscard]] bool write_model_specific(Cpu& cpu, uint32_t number, uint64_t value);

uint64_t guest_tsc(const Cpu& cpu);

}  // namespace alcove::cpu::soft
