// What handlers of x87 instructions share.
#pragma once

#include "cpu/soft/x86/cpu.h"
#include "cpu/soft/x86/x87/host_unit.h"

namespace alcove::cpu::soft {

// What FNSTENV shows as the last instruction. Unlike processors that note it only with an unmasked exception
// (CPUID.(7,0):EBX[6]) or not its selectors (EBX[13]), this keeps all of it always, which is what CPUID says.
inline void note_x87_instruction(Cpu& cpu, const Insn& insn) {
  cpu.fpu.last_instruction = cpu.this_rip();
  cpu.fpu.last_instruction_selector = cpu.segments[cs].selector;
  cpu.fpu.last_opcode = static_cast<uint16_t>((insn.opcode & 7) << 8 | insn.modrm);
}
inline void note_x87_data(Cpu& cpu, const Insn& insn, uint64_t offset) {
  cpu.fpu.last_data = offset;
  cpu.fpu.last_data_selector = cpu.segments[insn.segment].selector;
}

}  // namespace alcove::cpu::soft
