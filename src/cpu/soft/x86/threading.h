// Handlers that go on to the next instruction themselves, which saves the run loop's share of the work and
// lets the host predict each instruction's successor on its own.
//
// Behind a block's last instruction stands end_of_block(). A handler that does not go on returns to the run
// loop, which finds in Cpu::insn how far it got: so handlers of both kinds mix freely.
#pragma once

#include "cpu/soft/x86/cpu.h"
#include "cpu/soft/x86/insn.h"

namespace alcove::cpu::soft {

inline void execute_end_of_block(Cpu&, const Insn&) {}

inline Insn end_of_block() {
  Insn insn;
  insn.handler = execute_end_of_block;
  return insn;
}

// `body` and then the next instruction, by a jump: nothing of `body` may live on the host's stack meanwhile.
// Without optimization it is a call, as deep as a block is long.
template <Handler body>
void threaded(Cpu& cpu, const Insn& insn) {
  body(cpu, insn);
  const Insn& next = (&insn)[1];
  cpu.insn = &next;
  next.handler(cpu, next);
}

}  // namespace alcove::cpu::soft
