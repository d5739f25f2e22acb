// Delivery in real mode and in protected mode outside IA-32e mode (Intel SDM vol. 3, 6.12 and 20.1.4).
#include "cpu/soft/mmu/access.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/system/delivery.h"
#include "cpu/soft/x86/system/segments.h"
#include "cpu/soft/x86/system/stack.h"

namespace alcove::cpu::soft {
namespace {

void clear_flags(Cpu& cpu, bool interrupt_gate) {
  for (const Flag flag : {kTf, kNt, kRf, kVm}) cpu.flags.set(flag, false);
  if (interrupt_gate) cpu.flags.set(kIf, false);
}

void to_inner_level(Cpu& cpu, const Event& event, Descriptor& code, uint64_t target, unsigned size,
                    bool interrupt_gate) {
  const unsigned cpl = code.segment.dpl();
  const StackPointer wanted = task_stack(cpu, cpl);
  Descriptor stack_segment = check_stack_segment(cpu, wanted.selector, cpl, kInvalidTss);
  const bool from_virtual_8086 = cpu.virtual_8086();
  Stack stack(cpu, stack_segment.segment, wanted.pointer, stack_size_of(stack_segment.segment), cpl,
              wanted.selector & ~3u);
  if (from_virtual_8086) {
    for (const SegmentIndex index : {gs, fs, ds, es}) stack.push(cpu.segments[index].selector, size);
  }
  stack.push(cpu.segments[ss].selector, size);
  stack.push(cpu.gpr[rsp], size);
  stack.push(event.flags, size);
  stack.push(cpu.segments[cs].selector, size);
  stack.push(event.rip, size);
  if (event.has_error_code) stack.push(event.error_code, size);
  check_target(cpu, code.segment, target);

  mark_accessed(cpu, stack_segment);
  commit_code_segment(cpu, code, cpl, target);
  cpu.segments[ss] = stack_segment.segment;
  if (from_virtual_8086) {
    for (const SegmentIndex index : {gs, fs, ds, es}) cpu.segments[index] = {};
  }
  if (stack_size_of(stack_segment.segment) == 2)
    write_gpr<uint16_t>(cpu, rsp, static_cast<uint16_t>(stack.pointer()));
  else
    cpu.gpr[rsp] = stack.pointer();
  clear_flags(cpu, interrupt_gate);
  update_mode(cpu);
}

void to_same_level(Cpu& cpu, const Event& event, Descriptor& code, uint64_t target, unsigned size,
                   bool interrupt_gate) {
  Stack stack(cpu, cpu.segments[ss], cpu.gpr[rsp], cpu.stack_size, cpu.cpl, 0);
  stack.push(event.flags, size);
  stack.push(cpu.segments[cs].selector, size);
  stack.push(event.rip, size);
  if (event.has_error_code) stack.push(event.error_code, size);
  check_target(cpu, code.segment, target);
  commit_code_segment(cpu, code, cpu.cpl, target);
  cpu.gpr[rsp] = stack.pointer();
  clear_flags(cpu, interrupt_gate);
  update_mode(cpu);
}

}  // namespace

void deliver_real(Cpu& cpu, const Event& event) {
  if (event.vector * 4u + 3 > cpu.idtr.limit) raise(cpu, kGeneralProtection, event.vector * 8u + 2);
  const uint32_t entry = load_system<uint32_t>(cpu, cpu.idtr.base + event.vector * 4u);
  Stack stack(cpu);
  stack.push<uint16_t>(event.flags);
  stack.push<uint16_t>(cpu.segments[cs].selector);
  stack.push<uint16_t>(event.rip);
  cpu.gpr[rsp] = stack.pointer();
  for (const Flag flag : {kTf, kRf, kIf, kAc}) cpu.flags.set(flag, false);
  load_real_segment(cpu, cs, static_cast<uint16_t>(entry >> 16));
  cpu.rip = entry & 0xffff;
}

void deliver_protected(Cpu& cpu, const Event& event) {
  const uint32_t gate_error = event.vector * 8u + 2;
  if (event.vector * 8u + 7 > cpu.idtr.limit) raise(cpu, kGeneralProtection, gate_error);
  const uint64_t gate = load_system<uint64_t>(cpu, cpu.idtr.base + event.vector * 8u);
  const unsigned type = gate >> 40 & 0x1f;
  const bool is_task = type == kTaskGate;
  const bool is_wide = type == kInterruptGate || type == kTrapGate;
  const bool is_narrow = type == kInterruptGate16 || type == kTrapGate16;
  if (!is_task && !is_wide && !is_narrow) raise(cpu, kGeneralProtection, gate_error);
  if (event.checks_privilege && (gate >> 45 & 3) < cpu.cpl) raise(cpu, kGeneralProtection, gate_error);
  if (!(gate >> 47 & 1)) raise(cpu, kSegmentNotPresent, gate_error);
  const auto selector = static_cast<uint16_t>(gate >> 16);
  if (is_task) return deliver_to_task(cpu, event, selector);

  const unsigned size = is_wide ? 4 : 2;
  const uint64_t target = (gate & 0xffff) | (is_wide ? gate >> 32 & 0xffff0000 : 0);
  if (is_null(selector)) raise(cpu, kGeneralProtection, 0);
  Descriptor code = read_descriptor(cpu, selector, kGeneralProtection);
  const uint32_t code_error = (selector & ~3u);
  if (!code.segment.is_code() || code.segment.dpl() > cpu.cpl) raise(cpu, kGeneralProtection, code_error);
  if (!code.segment.present()) raise(cpu, kSegmentNotPresent, code_error);
  const bool interrupt_gate = type == kInterruptGate || type == kInterruptGate16;
  if (!is_conforming(code.segment) && code.segment.dpl() < cpu.cpl) {
    if (cpu.virtual_8086() && code.segment.dpl() != 0) raise(cpu, kGeneralProtection, code_error);
    to_inner_level(cpu, event, code, target, size, interrupt_gate);
  } else {
    if (cpu.virtual_8086()) raise(cpu, kGeneralProtection, code_error);
    to_same_level(cpu, event, code, target, size, interrupt_gate);
  }
}

}  // namespace alcove::cpu::soft
