// Exceptions, interrupts and what else interrupts the flow of instructions (Intel SDM vol. 3, chapter 6).
//
// How the run loop uses it:
//
//   if (setjmp(cpu.fault_exit)) {               // raise() comes here, also out of deliver_fault() itself
//     if (!deliver_fault(cpu)) -> shutdown      // a fault during delivery becomes a double or triple fault
//   }
//   for (;;) {
//     if (cpu.attention) … if (!deliver_events(cpu)) -> wait until attention is set again
//     run a block
//   }
//
// Cpu::insn must be null whenever no instruction is being executed (block fetch, event delivery): raise()
// takes the faulting instruction's address from it, otherwise from Cpu::rip. After a shadowing instruction
// (Cpu::interrupt_shadow) the loop runs exactly one instruction and clears the shadow before it delivers
// events.
#pragma once

#include <cstdint>

#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

// Delivers Cpu::fault. False: triple fault. If it faults itself, that goes through raise() to a further call.
[[nodiscard]] bool deliver_fault(Cpu& cpu);

// An external interrupt or NMI, between instructions. May raise().
void deliver_interrupt(Cpu& cpu, uint8_t vector);

// INT n, INT3, INTO and INT1, from their handlers: goes to the handler with the next instruction as return
// address. Privilege and virtual-8086 checks included.
enum class SoftwareInterrupt { int_n, int3, into, int1 };
void software_interrupt(Cpu& cpu, uint8_t vector, SoftwareInterrupt kind);

// Takes what Cpu::attention's APIC bits announce, in order of priority: INIT, SIPI, NMI, interrupts; wakes
// from HLT. Clears the bits it served; an interrupt that can't be taken yet (IF, priority) is announced again
// by recheck_interrupts(). True if the processor has instructions to execute, false while it waits in HLT or
// for SIPI. May raise().
[[nodiscard]] bool deliver_events(Cpu& cpu);

// To be called by whatever may have unmasked interrupts (IF from 0 to 1 by STI, POPF or IRET; TPR; EOI).
void recheck_interrupts(Cpu& cpu);

// The registers after power-on or INIT (Intel SDM vol. 3, table 10-1). The first processor runs, others wait.
void reset_registers(Cpu& cpu, bool power_on);

}  // namespace alcove::cpu::soft
