// Between Cpu and the contract's X86State.
#pragma once

#include <alcove/error.h>

#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

X86State read_registers(const Cpu& cpu);
// Refuses states that no processor can be in.
Result<> write_registers(Cpu& cpu, const X86State& state);

}  // namespace alcove::cpu::soft
