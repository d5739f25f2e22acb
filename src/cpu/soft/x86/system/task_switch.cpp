// Hardware task switches between 32-bit tasks (Intel SDM vol. 3, chapter 8).
#include "cpu/soft/x86/debug.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/exceptions.h"
#include "cpu/soft/x86/system/delivery.h"
#include "cpu/soft/x86/system/handlers.h"
#include "cpu/soft/x86/system/segments.h"
#include "cpu/soft/x86/system/stack.h"

namespace alcove::cpu::soft {
namespace {

// Offsets in a 32-bit TSS (figure 8-2).
enum TssField : unsigned {
  kLink = 0,
  kCr3 = 0x1c,
  kEip = 0x20,
  kEflags = 0x24,
  kGeneralRegisters = 0x28,
  kSegments = 0x48,
  kLdtSelector = 0x60,
  kTrap = 0x64,
  kTssSize = 0x68,
};

constexpr uint8_t kBusy = 2;
constexpr uint64_t kTaskSwitched = 1u << 3;    // CR0.TS
constexpr uint32_t kTaskDebugTrap = 1u << 15;  // DR6.BT

struct TaskState {
  uint32_t cr3, eip, eflags;
  std::array<uint32_t, 8> general;
  std::array<uint16_t, 6> segments;
  uint16_t ldt;
  bool trap;
};

TaskState read_task(Cpu& cpu, uint64_t base) {
  TaskState state{};
  state.cr3 = load_system<uint32_t>(cpu, base + kCr3);
  state.eip = load_system<uint32_t>(cpu, base + kEip);
  state.eflags = load_system<uint32_t>(cpu, base + kEflags);
  for (unsigned i = 0; i < 8; ++i)
    state.general[i] = load_system<uint32_t>(cpu, base + kGeneralRegisters + 4 * i);
  for (unsigned i = 0; i < 6; ++i) state.segments[i] = load_system<uint16_t>(cpu, base + kSegments + 4 * i);
  state.ldt = load_system<uint16_t>(cpu, base + kLdtSelector);
  state.trap = load_system<uint16_t>(cpu, base + kTrap) & 1;
  return state;
}

void save_task(Cpu& cpu, uint64_t rip, uint32_t flags) {
  const uint64_t base = cpu.tr.base;
  store_system<uint32_t>(cpu, base + kEip, static_cast<uint32_t>(rip));
  store_system<uint32_t>(cpu, base + kEflags, flags);
  for (unsigned i = 0; i < 8; ++i)
    store_system<uint32_t>(cpu, base + kGeneralRegisters + 4 * i, static_cast<uint32_t>(cpu.gpr[i]));
  for (unsigned i = 0; i < 6; ++i)
    store_system<uint16_t>(cpu, base + kSegments + 4 * i, cpu.segments[i].selector);
}

void mark_busy(Cpu& cpu, uint64_t descriptor, bool busy) {
  const auto access = load_system<uint8_t>(cpu, descriptor + 5);
  store_system<uint8_t>(cpu, descriptor + 5, static_cast<uint8_t>(busy ? access | kBusy : access & ~kBusy));
}

Descriptor check_task(Cpu& cpu, uint16_t selector, TaskSwitch reason) {
  const bool returning = reason == TaskSwitch::interrupt_return;
  const Vector vector = returning ? kInvalidTss : kGeneralProtection;
  const uint32_t error = selector & ~3u;
  if (selector & 4 || is_null(selector)) raise(cpu, vector, error);
  Descriptor tss = read_descriptor(cpu, selector, vector);
  const unsigned type = type_of(tss.segment);
  if (is_system(tss.segment) && (type & ~kBusy) == kTss16Available)
    give_up(cpu, {.code = ErrorCode::not_supported,
                  .where = "software CPU engine",
                  .what = "the guest switches to a 16-bit task, which this engine does not execute",
                  .hint = "use 32-bit task state segments"});
  if (!is_system(tss.segment) || type != (returning ? kTssBusy : kTssAvailable)) raise(cpu, vector, error);
  if (!tss.segment.present()) raise(cpu, kSegmentNotPresent, error);
  if (tss.segment.limit < kTssSize - 1) raise(cpu, kInvalidTss, error);
  return tss;
}

void load_task_ldt(Cpu& cpu, uint16_t selector) {
  cpu.ldtr = {};
  cpu.ldtr.selector = selector;
  if (is_null(selector)) return;
  const uint32_t error = selector & ~3u;
  if (selector & 4) raise(cpu, kInvalidTss, error);
  const Descriptor ldt = read_descriptor(cpu, selector, kInvalidTss);
  if (!is_system(ldt.segment) || type_of(ldt.segment) != kLdt || !ldt.segment.present())
    raise(cpu, kInvalidTss, error);
  cpu.ldtr = ldt.segment;
}

void load_task_segments(Cpu& cpu, const TaskState& state) {
  if (state.eflags & kVm) {
    cpu.cpl = 3;
    for (const SegmentIndex index : {es, cs, ss, ds, fs, gs})
      cpu.segments[index] = virtual_8086_segment(state.segments[index]);
    return;
  }
  const uint16_t code_selector = state.segments[cs];
  const uint32_t code_error = code_selector & ~3u;
  const unsigned cpl = code_selector & 3;
  if (is_null(code_selector)) raise(cpu, kInvalidTss, 0);
  Descriptor code = read_descriptor(cpu, code_selector, kInvalidTss);
  if (!code.segment.is_code() ||
      (is_conforming(code.segment) ? code.segment.dpl() > cpl : code.segment.dpl() != cpl))
    raise(cpu, kInvalidTss, code_error);
  if (!code.segment.present()) raise(cpu, kSegmentNotPresent, code_error);
  Descriptor stack = check_stack_segment(cpu, state.segments[ss], cpl, kInvalidTss);
  commit_code_segment(cpu, code, cpl, state.eip);
  mark_accessed(cpu, stack);
  cpu.segments[ss] = stack.segment;
  update_mode(cpu);
  for (const SegmentIndex index : {es, ds, fs, gs}) {
    const uint16_t selector = state.segments[index];
    if (is_null(selector)) continue;
    Descriptor data = read_descriptor(cpu, selector, kInvalidTss);
    if (is_system(data.segment) || !is_readable(data.segment) ||
        (!is_conforming(data.segment) && ((selector & 3u) > data.segment.dpl() || cpl > data.segment.dpl())))
      raise(cpu, kInvalidTss, selector & ~3u);
    if (!data.segment.present()) raise(cpu, kSegmentNotPresent, selector & ~3u);
    mark_accessed(cpu, data);
    cpu.segments[index] = data.segment;
  }
  check_target(cpu, cpu.segments[cs], state.eip);
}

void switch_to(Cpu& cpu, uint16_t selector, TaskSwitch reason, uint64_t rip, uint32_t flags) {
  Descriptor tss = check_task(cpu, selector, reason);
  const uint64_t base = tss.segment.base;
  const bool nested = reason == TaskSwitch::call || reason == TaskSwitch::interrupt;
  if (!nested) {
    if (const auto old = descriptor_address(cpu, cpu.tr.selector)) mark_busy(cpu, *old, false);
  }
  if (reason == TaskSwitch::interrupt_return) flags &= ~kNt;
  save_task(cpu, rip, flags);
  TaskState state = read_task(cpu, base);
  if (nested) {
    store_system<uint16_t>(cpu, base + kLink, cpu.tr.selector);
    state.eflags |= kNt;
  }
  if (reason != TaskSwitch::interrupt_return) mark_busy(cpu, tss.address, true);

  // From here on faults are the new task's, at its first instruction.
  tss.segment.access |= kBusy;
  cpu.tr = tss.segment;
  cpu.cr0 |= kTaskSwitched;
  if (cpu.cr0 >> 31 & 1) {
    cpu.cr3 = state.cr3;
    switch_address_space(cpu, false);
  }
  cpu.rip = state.eip;
  if (cpu.insn) cpu.gpr[kRipRegister] = state.eip - cpu.insn->offset;
  for (unsigned i = 0; i < 8; ++i) cpu.gpr[i] = state.general[i];
  cpu.flags.set_value(state.eflags);
  for (unsigned i = 0; i < 6; ++i) {
    cpu.segments[i] = {};
    cpu.segments[i].selector = state.segments[i];
  }
  cpu.dr[7] &= ~uint64_t{0x155};  // The local breakpoints.
  if (state.trap) cpu.pending_debug |= kTaskDebugTrap;
  cpu.cpl = static_cast<uint8_t>(state.segments[cs] & 3);
  load_task_ldt(cpu, state.ldt);
  load_task_segments(cpu, state);
  update_mode(cpu);
  update_debug_mode(cpu);
  if (cpu.flags.test(kIf)) recheck_interrupts(cpu);
}

}  // namespace

void switch_task(Cpu& cpu, uint16_t tss_selector, TaskSwitch reason, uint64_t return_rip) {
  switch_to(cpu, tss_selector, reason, return_rip, cpu.flags.value());
}

void deliver_to_task(Cpu& cpu, const Event& event, uint16_t tss_selector) {
  switch_to(cpu, tss_selector, TaskSwitch::interrupt, event.rip, event.flags);
  if (!event.has_error_code) return;
  Stack stack(cpu);
  stack.push<uint32_t>(event.error_code);
  cpu.gpr[rsp] = stack.pointer();
}

}  // namespace alcove::cpu::soft
