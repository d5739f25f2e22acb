// Debug registers, breakpoints and single-stepping (Intel SDM vol. 3, chapter 18).
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

// Any data breakpoint enabled on that page: the TLB must not hold it, so that its accesses take the slow
// path, which calls check_data_breakpoints(). The TLB is flushed when DR7 or an enabled address changes.
bool page_has_data_breakpoint(const Cpu& cpu, uint64_t linear_address);
// Any data breakpoint enabled in the upper half of the address space.
bool has_upper_data_breakpoint(const Cpu& cpu);
// Notes the breakpoints that the access hit in Cpu::pending_debug.
void check_data_breakpoints(Cpu& cpu, uint64_t linear_address, size_t size, bool write);

// Port accesses (DR7 type 2 with CR4.DE).
void check_io_breakpoints(Cpu& cpu, uint16_t port, size_t size);

// Around each instruction while Cpu::single_step or Cpu::pending_debug says so. The first raises #DB for an
// instruction breakpoint at Cpu::rip (Cpu::insn null); the second is called with Cpu::rip behind the
// instruction and Cpu::insn null, and raises #DB for TF and data breakpoints. `tf_before`: RFLAGS.TF before
// the instruction.
void before_instruction(Cpu& cpu);
void after_instruction(Cpu& cpu, bool tf_before);

// In Cpu::pending_debug: the instruction entered a handler that cleared TF with it (INT n, SYSCALL), so it is
// not a step of the program's. Set only while Cpu::single_step.
inline constexpr uint32_t kNoSingleStep = 1u << 31;

// Recomputes Cpu::single_step: after changes of TF and DR7.
void update_debug_mode(Cpu& cpu);

}  // namespace alcove::cpu::soft
