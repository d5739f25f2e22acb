// Runs x87 instructions on the host's x87 unit.
//
// The guest's registers, control and status words are loaded, the one instruction is executed, and all is
// saved again: stack faults, tags, condition codes, rounding and the responses to masked and unmasked
// exceptions are the processor's own. An unmasked exception only becomes pending, so nothing traps on the
// host.
#pragma once

#include <cstdint>

#include "cpu/soft/x86/cpu.h"
#include "cpu/soft/x86/x87/state.h"

namespace alcove::cpu::soft {

struct HostX87Result {
  FxImage image;   // As the instruction left it, with the flags of its own exceptions only.
  uint32_t flags;  // The arithmetic flags after it.
  // Unmasked exceptions that the instruction met.
  uint16_t raised;
};

// `opcode` is D8-DF and `modrm` a register form, or a memory form: then `memory` is the operand, read or
// written. `flags` are the arithmetic flags, which FCMOVcc reads and FCOMI writes.
void run_on_host_x87(const FpuState& fpu, uint8_t opcode, uint8_t modrm, void* memory, uint32_t flags,
                     HostX87Result& result);

// Makes what it did the guest's state.
void commit_x87(FpuState& fpu, const HostX87Result& result);

}  // namespace alcove::cpu::soft
