// The instructions of this folder, as the rows of table_system.cpp name them.
#pragma once

#include <cstdint>

#include "cpu/soft/mmu/access.h"
#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

// --- Helpers ---

inline uint64_t truncate_rip(const Cpu& cpu, uint64_t rip) {
  return cpu.code_size == 8 ? rip : static_cast<uint32_t>(rip);
}
// For instructions that end a block and go on behind themselves.
inline void finish(Cpu& cpu) {
  cpu.rip = truncate_rip(cpu, cpu.next_rip());
}

// CS and SS as SYSCALL and SYSRET to 64-bit code set them.
std::array<Segment, 2> system_call_segments(const Cpu& cpu);
std::array<Segment, 2> system_return_segments(const Cpu& cpu);

inline void require_cpl0(Cpu& cpu) {
  if (cpu.cpl != 0) raise(cpu, kGeneralProtection, 0);
}

template <class T>
T read_rm(Cpu& cpu, const Insn& insn) {
  if (insn.is_register) return read_gpr<T>(cpu, insn.rm);
  return load<T>(cpu, linear_address(cpu, insn, sizeof(T), false));
}
// To a register as wide as the operand size, to memory as 16 bits: SLDT, STR, SMSW, MOV from Sreg.
inline void write_word(Cpu& cpu, const Insn& insn, uint64_t value) {
  if (!insn.is_register)
    store<uint16_t>(cpu, linear_address(cpu, insn, 2, true), static_cast<uint16_t>(value));
  else if (insn.operand_size == 2)
    write_gpr<uint16_t>(cpu, insn.rm, static_cast<uint16_t>(value));
  else
    cpu.gpr[insn.rm] = insn.operand_size == 4 ? static_cast<uint32_t>(value) : value;
}

// A register of operand size 2, 4 or 8.
inline void write_sized(Cpu& cpu, unsigned number, uint64_t value, unsigned size) {
  if (size == 2)
    write_gpr<uint16_t>(cpu, number, static_cast<uint16_t>(value));
  else
    cpu.gpr[number] = size == 4 ? static_cast<uint32_t>(value) : value;
}

// Raises #GP(0) unless the present privilege may use the ports.
void check_port_access(Cpu& cpu, uint16_t port, unsigned size);

// What IRET makes of RFLAGS.
void restore_flags(Cpu& cpu, uint32_t value, unsigned size);

// Task switches (task_switch.cpp).
enum class TaskSwitch { jump, call, interrupt, interrupt_return };
void switch_task(Cpu& cpu, uint16_t tss_selector, TaskSwitch reason, uint64_t return_rip);

// --- segment_instructions.cpp ---
void move_from_segment(Cpu& cpu, const Insn& insn);
void move_to_segment(Cpu& cpu, const Insn& insn);
void push_segment(Cpu& cpu, const Insn& insn);
void pop_segment(Cpu& cpu, const Insn& insn);
void load_far_pointer(Cpu& cpu, const Insn& insn);
void load_access_rights(Cpu& cpu, const Insn& insn);
void load_segment_limit(Cpu& cpu, const Insn& insn);
void verify_read(Cpu& cpu, const Insn& insn);
void verify_write(Cpu& cpu, const Insn& insn);
void adjust_rpl(Cpu& cpu, const Insn& insn);

// --- table_registers.cpp ---
void store_ldt(Cpu& cpu, const Insn& insn);
void store_task(Cpu& cpu, const Insn& insn);
void load_ldt(Cpu& cpu, const Insn& insn);
void load_task(Cpu& cpu, const Insn& insn);
void store_gdt(Cpu& cpu, const Insn& insn);
void store_idt(Cpu& cpu, const Insn& insn);
void load_gdt(Cpu& cpu, const Insn& insn);
void load_idt(Cpu& cpu, const Insn& insn);

// --- far_transfer.cpp ---
void jump_far_direct(Cpu& cpu, const Insn& insn);
void jump_far_indirect(Cpu& cpu, const Insn& insn);
void call_far_direct(Cpu& cpu, const Insn& insn);
void call_far_indirect(Cpu& cpu, const Insn& insn);
void return_far(Cpu& cpu, const Insn& insn);

// --- interrupt_instructions.cpp ---
void interrupt_n(Cpu& cpu, const Insn& insn);
void interrupt_3(Cpu& cpu, const Insn& insn);
void interrupt_overflow(Cpu& cpu, const Insn& insn);
void interrupt_1(Cpu& cpu, const Insn& insn);
void return_from_interrupt(Cpu& cpu, const Insn& insn);
void clear_interrupt_flag(Cpu& cpu, const Insn& insn);
void set_interrupt_flag(Cpu& cpu, const Insn& insn);
void halt(Cpu& cpu, const Insn& insn);

// --- fast_calls.cpp ---
void system_call(Cpu& cpu, const Insn& insn);
void system_return(Cpu& cpu, const Insn& insn);
void system_enter(Cpu& cpu, const Insn& insn);
void system_exit(Cpu& cpu, const Insn& insn);
void swap_gs(Cpu& cpu, const Insn& insn);
void read_fs_base(Cpu& cpu, const Insn& insn);
void read_gs_base(Cpu& cpu, const Insn& insn);
void write_fs_base(Cpu& cpu, const Insn& insn);
void write_gs_base(Cpu& cpu, const Insn& insn);

// --- control_registers.cpp ---
void read_control(Cpu& cpu, const Insn& insn);
void write_control(Cpu& cpu, const Insn& insn);
void read_debug(Cpu& cpu, const Insn& insn);
void write_debug(Cpu& cpu, const Insn& insn);
void clear_task_switched(Cpu& cpu, const Insn& insn);
void store_machine_status(Cpu& cpu, const Insn& insn);
void load_machine_status(Cpu& cpu, const Insn& insn);
void invalidate_page(Cpu& cpu, const Insn& insn);
void invalidate_pcid(Cpu& cpu, const Insn& insn);
void invalidate_caches(Cpu& cpu, const Insn& insn);

// --- model_instructions.cpp ---
void read_msr_instruction(Cpu& cpu, const Insn& insn);
void write_msr_instruction(Cpu& cpu, const Insn& insn);
void read_tsc(Cpu& cpu, const Insn& insn);
void read_tsc_and_processor(Cpu& cpu, const Insn& insn);
void read_processor(Cpu& cpu, const Insn& insn);
void read_counter(Cpu& cpu, const Insn& insn);
void identify(Cpu& cpu, const Insn& insn);
void hypervisor_call(Cpu& cpu, const Insn& insn);

// --- port_instructions.cpp ---
void input_immediate(Cpu& cpu, const Insn& insn);
void input_dx(Cpu& cpu, const Insn& insn);
void output_immediate(Cpu& cpu, const Insn& insn);
void output_dx(Cpu& cpu, const Insn& insn);
void input_string(Cpu& cpu, const Insn& insn);
void output_string(Cpu& cpu, const Insn& insn);

}  // namespace alcove::cpu::soft
