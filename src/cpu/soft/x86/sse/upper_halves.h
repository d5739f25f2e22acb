// The YMM registers as wholes. Their upper halves in FpuState count only while FpuState::upper_in_use says
// so, which is what XINUSE tells the guest: translated code saves and loads no more than that.
#pragma once

#include <cstring>

#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

using Ymm = FpuState::Vector256;

inline Ymm read_ymm(const FpuState& fpu, unsigned number) {
  Ymm value = fpu.ymm[number];
  if (!fpu.upper_in_use) value.words[2] = value.words[3] = 0;
  return value;
}

inline void use_upper_halves(FpuState& fpu) {
  if (fpu.upper_in_use) return;
  for (Ymm& value : fpu.ymm) value.words[2] = value.words[3] = 0;
  fpu.upper_in_use = true;
}

inline void write_ymm(FpuState& fpu, unsigned number, const Ymm& value) {
  if (value.words[2] | value.words[3]) use_upper_halves(fpu);
  fpu.ymm[number] = value;
}

}  // namespace alcove::cpu::soft
