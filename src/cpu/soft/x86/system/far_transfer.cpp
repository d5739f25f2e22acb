// Far JMP, CALL and RET (Intel SDM vol. 3, 5.8; vol. 2: CALL, JMP, RET).
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/system/handlers.h"
#include "cpu/soft/x86/system/segments.h"
#include "cpu/soft/x86/system/stack.h"

namespace alcove::cpu::soft {
namespace {

struct FarPointer {
  uint16_t selector;
  uint64_t offset;
};

FarPointer read_far_pointer(Cpu& cpu, const Insn& insn) {
  const unsigned size = insn.operand_size;
  const uint64_t address = linear_address(cpu, insn, size + 2, false);
  const uint64_t offset = size == 8   ? load<uint64_t>(cpu, address)
                          : size == 4 ? load<uint32_t>(cpu, address)
                                      : load<uint16_t>(cpu, address);
  return {.selector = load<uint16_t>(cpu, address + size), .offset = offset};
}

FarPointer immediate_far_pointer(const Insn& insn) {
  return {.selector = static_cast<uint16_t>(insn.selector), .offset = insn.immediate};
}

bool is_flat_mode(const Cpu& cpu) {
  return cpu.real_mode() || cpu.virtual_8086();
}

void load_flat_code(Cpu& cpu, uint16_t selector, uint64_t offset) {
  if (offset > cpu.segments[cs].limit) raise(cpu, kGeneralProtection, 0);
  load_segment(cpu, cs, selector);
  cpu.rip = offset;
}

// The right to go to a code segment without a gate.
void check_direct(Cpu& cpu, const Descriptor& code) {
  const Segment& segment = code.segment;
  const unsigned rpl = segment.selector & 3;
  if (is_conforming(segment) ? segment.dpl() > cpu.cpl : rpl > cpu.cpl || segment.dpl() != cpu.cpl)
    raise(cpu, kGeneralProtection, segment.selector & ~3u);
  check_code_present(cpu, code);
}

struct CallGate {
  Descriptor code;
  uint64_t offset;
  unsigned size;        // Of what is pushed, in bytes.
  unsigned parameters;  // To be copied.
};

CallGate read_call_gate(Cpu& cpu, const Descriptor& gate) {
  const uint32_t error = gate.segment.selector & ~3u;
  if (gate.segment.dpl() < cpu.cpl || gate.segment.dpl() < (gate.segment.selector & 3u))
    raise(cpu, kGeneralProtection, error);
  if (!gate.segment.present()) raise(cpu, kSegmentNotPresent, error);
  const bool wide = type_of(gate.segment) == kCallGate;
  CallGate result{.code = {},
                  .offset = (gate.raw & 0xffff) | (wide ? gate.raw >> 32 & 0xffff0000 : 0),
                  .size = wide ? 4u : 2u,
                  .parameters = static_cast<unsigned>(gate.raw >> 32 & 31)};
  if (cpu.long_mode()) {
    result.offset |= read_upper_half(cpu, gate, kGeneralProtection) << 32;
    result.size = 8;
    result.parameters = 0;
  }
  const auto selector = static_cast<uint16_t>(gate.raw >> 16);
  if (is_null(selector)) raise(cpu, kGeneralProtection, 0);
  result.code = read_descriptor(cpu, selector, kGeneralProtection);
  const Segment& code = result.code.segment;
  if (!code.is_code() || code.dpl() > cpu.cpl || (cpu.long_mode() && (!code.long_mode() || code.big())))
    raise(cpu, kGeneralProtection, selector & ~3u);
  check_code_present(cpu, result.code);
  return result;
}

// What a far pointer's selector turns out to be. Task switches have been done when it is `task`.
enum class Target { code, call_gate, task };

Target classify(Cpu& cpu, const Descriptor& target, TaskSwitch reason) {
  const Segment& segment = target.segment;
  if (segment.is_code()) return Target::code;
  const uint32_t error = segment.selector & ~3u;
  if (!is_system(segment)) raise(cpu, kGeneralProtection, error);
  switch (type_of(segment)) {
    case kCallGate:
      return Target::call_gate;
    case kCallGate16:
      if (cpu.long_mode()) break;
      return Target::call_gate;
    case kTaskGate:
    case kTssAvailable:
    case kTss16Available: {
      if (cpu.long_mode()) break;
      if (segment.dpl() < cpu.cpl || segment.dpl() < (segment.selector & 3u)) break;
      if (!segment.present()) raise(cpu, kSegmentNotPresent, error);
      const auto tss =
          type_of(segment) == kTaskGate ? static_cast<uint16_t>(target.raw >> 16) : segment.selector;
      switch_task(cpu, tss, reason, cpu.next_rip());
      return Target::task;
    }
    default:
      break;
  }
  raise(cpu, kGeneralProtection, error);
}

void jump_far(Cpu& cpu, FarPointer pointer) {
  if (is_flat_mode(cpu)) return load_flat_code(cpu, pointer.selector, pointer.offset);
  if (is_null(pointer.selector)) raise(cpu, kGeneralProtection, 0);
  Descriptor target = read_descriptor(cpu, pointer.selector, kGeneralProtection);
  switch (classify(cpu, target, TaskSwitch::jump)) {
    case Target::task:
      return;
    case Target::code:
      check_direct(cpu, target);
      break;
    case Target::call_gate: {
      CallGate gate = read_call_gate(cpu, target);
      if (!is_conforming(gate.code.segment) && gate.code.segment.dpl() != cpu.cpl)
        raise(cpu, kGeneralProtection, gate.code.segment.selector & ~3u);
      target = gate.code;
      pointer.offset = gate.offset;
      break;
    }
  }
  check_target(cpu, target.segment, pointer.offset);
  commit_code_segment(cpu, target, cpu.cpl, pointer.offset);
  update_mode(cpu);
}

void call_same_level(Cpu& cpu, Descriptor& code, uint64_t offset, unsigned size) {
  Stack stack(cpu);
  stack.push(cpu.segments[cs].selector, size);
  stack.push(cpu.next_rip(), size);
  check_target(cpu, code.segment, offset);
  commit_code_segment(cpu, code, cpu.cpl, offset);
  cpu.gpr[rsp] = stack.pointer();
  update_mode(cpu);
}

void call_inner_long(Cpu& cpu, CallGate& gate) {
  const unsigned cpl = gate.code.segment.dpl();
  Stack stack(cpu, cpu.segments[ss], task_stack_64(cpu, cpl), 8, cpl, 0);
  stack.push<uint64_t>(cpu.segments[ss].selector);
  stack.push<uint64_t>(cpu.gpr[rsp]);
  stack.push<uint64_t>(cpu.segments[cs].selector);
  stack.push<uint64_t>(cpu.next_rip());
  check_target(cpu, gate.code.segment, gate.offset);
  commit_code_segment(cpu, gate.code, cpl, gate.offset);
  Segment null;
  null.selector = static_cast<uint16_t>(cpl);
  null.access = static_cast<uint16_t>(cpl << 5);
  cpu.segments[ss] = null;
  cpu.gpr[rsp] = stack.pointer();
  update_mode(cpu);
}

void call_inner(Cpu& cpu, CallGate& gate) {
  const unsigned cpl = gate.code.segment.dpl();
  const StackPointer wanted = task_stack(cpu, cpl);
  Descriptor stack_segment = check_stack_segment(cpu, wanted.selector, cpl, kInvalidTss);
  Stack stack(cpu, stack_segment.segment, wanted.pointer, stack_size_of(stack_segment.segment), cpl,
              wanted.selector & ~3u);
  stack.push(cpu.segments[ss].selector, gate.size);
  stack.push(cpu.gpr[rsp], gate.size);
  std::array<uint64_t, 31> parameters;
  Stack old(cpu);
  for (unsigned i = 0; i < gate.parameters; ++i) parameters[i] = old.pop(gate.size);
  for (unsigned i = gate.parameters; i > 0; --i) stack.push(parameters[i - 1], gate.size);
  stack.push(cpu.segments[cs].selector, gate.size);
  stack.push(cpu.next_rip(), gate.size);
  check_target(cpu, gate.code.segment, gate.offset);
  mark_accessed(cpu, stack_segment);
  commit_code_segment(cpu, gate.code, cpl, gate.offset);
  cpu.segments[ss] = stack_segment.segment;
  cpu.gpr[rsp] = stack.pointer();
  update_mode(cpu);
}

void call_far(Cpu& cpu, FarPointer pointer, unsigned size) {
  if (is_flat_mode(cpu)) {
    Stack stack(cpu);
    stack.push(cpu.segments[cs].selector, size);
    stack.push(cpu.next_rip(), size);
    load_flat_code(cpu, pointer.selector, pointer.offset);
    cpu.gpr[rsp] = stack.pointer();
    return;
  }
  if (is_null(pointer.selector)) raise(cpu, kGeneralProtection, 0);
  Descriptor target = read_descriptor(cpu, pointer.selector, kGeneralProtection);
  switch (classify(cpu, target, TaskSwitch::call)) {
    case Target::task:
      return;
    case Target::code:
      check_direct(cpu, target);
      return call_same_level(cpu, target, pointer.offset, size);
    case Target::call_gate: {
      CallGate gate = read_call_gate(cpu, target);
      if (is_conforming(gate.code.segment) || gate.code.segment.dpl() == cpu.cpl)
        return call_same_level(cpu, gate.code, gate.offset, gate.size);
      return cpu.long_mode() ? call_inner_long(cpu, gate) : call_inner(cpu, gate);
    }
  }
}

void return_outer(Cpu& cpu, Descriptor& code, Stack& stack, uint64_t rip, unsigned size, uint64_t extra) {
  const unsigned cpl = code.segment.selector & 3;
  stack.skip(extra);
  const uint64_t pointer = stack.pop(size);
  const auto selector = static_cast<uint16_t>(stack.pop(size));
  Descriptor stack_segment;
  const bool null_stack = is_null(selector);
  if (null_stack) {
    if (!is_64bit_code(cpu, code.segment) || cpl == 3 || (selector & 3u) != cpl)
      raise(cpu, kGeneralProtection, 0);
    stack_segment.segment.selector = selector;
    stack_segment.segment.access = static_cast<uint16_t>(cpl << 5);
  } else {
    stack_segment = check_stack_segment(cpu, selector, cpl, kGeneralProtection);
  }
  check_target(cpu, code.segment, rip);
  if (!null_stack) mark_accessed(cpu, stack_segment);
  commit_code_segment(cpu, code, cpl, rip);
  cpu.segments[ss] = stack_segment.segment;
  update_mode(cpu);
  write_sized(cpu, rsp, pointer, size);
  write_sized(cpu, rsp, cpu.gpr[rsp] + extra, cpu.stack_size);
  drop_inner_segments(cpu);
  update_mode(cpu);
}

}  // namespace

void jump_far_direct(Cpu& cpu, const Insn& insn) {
  jump_far(cpu, immediate_far_pointer(insn));
}
void jump_far_indirect(Cpu& cpu, const Insn& insn) {
  jump_far(cpu, read_far_pointer(cpu, insn));
}
void call_far_direct(Cpu& cpu, const Insn& insn) {
  call_far(cpu, immediate_far_pointer(insn), insn.operand_size);
}
void call_far_indirect(Cpu& cpu, const Insn& insn) {
  call_far(cpu, read_far_pointer(cpu, insn), insn.operand_size);
}

void return_far(Cpu& cpu, const Insn& insn) {
  const unsigned size = insn.operand_size;
  const uint64_t extra = insn.immediate;
  Stack stack(cpu);
  const uint64_t rip = stack.pop(size);
  const auto selector = static_cast<uint16_t>(stack.pop(size));
  if (is_flat_mode(cpu)) {
    stack.skip(extra);
    load_flat_code(cpu, selector, rip);
    cpu.gpr[rsp] = stack.pointer();
    return;
  }
  if (is_null(selector)) raise(cpu, kGeneralProtection, 0);
  Descriptor code = read_descriptor(cpu, selector, kGeneralProtection);
  const unsigned rpl = selector & 3;
  if (!code.segment.is_code() || rpl < cpu.cpl ||
      (is_conforming(code.segment) ? code.segment.dpl() > rpl : code.segment.dpl() != rpl))
    raise(cpu, kGeneralProtection, selector & ~3u);
  check_code_present(cpu, code);
  if (rpl > cpu.cpl) return return_outer(cpu, code, stack, rip, size, extra);
  check_target(cpu, code.segment, rip);
  stack.skip(extra);
  commit_code_segment(cpu, code, cpu.cpl, rip);
  cpu.gpr[rsp] = stack.pointer();
  update_mode(cpu);
}

}  // namespace alcove::cpu::soft
