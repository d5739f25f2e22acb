// INT, IRET, CLI, STI and HLT.
#include <array>
#include <cstring>

#include "cpu/soft/mmu/access.h"
#include "cpu/soft/x86/debug.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/exceptions.h"
#include "cpu/soft/x86/system/handlers.h"
#include "cpu/soft/x86/system/segments.h"
#include "cpu/soft/x86/system/stack.h"

namespace alcove::cpu::soft {
namespace {

unsigned iopl(const Cpu& cpu) {
  return cpu.flags.system() >> 12 & 3;
}

void unblock_nmi(Cpu& cpu) {
  cpu.nmi_blocked = false;
  if (cpu.nmi_pending) cpu.attention.fetch_or(kNmiAttention, std::memory_order_release);
}

void after_flags_change(Cpu& cpu) {
  update_mode(cpu);
  update_debug_mode(cpu);
  if (cpu.flags.test(kIf)) recheck_interrupts(cpu);
}

struct Frame {
  uint64_t rip;
  uint16_t selector;
  uint32_t flags;
};

Frame pop_frame(Stack& stack, unsigned size) {
  Frame frame{};
  frame.rip = stack.pop(size);
  frame.selector = static_cast<uint16_t>(stack.pop(size));
  frame.flags = static_cast<uint32_t>(stack.pop(size));
  return frame;
}

void return_flat(Cpu& cpu, unsigned size) {
  if (cpu.virtual_8086() && iopl(cpu) < 3) raise(cpu, kGeneralProtection, 0);
  Stack stack(cpu);
  const Frame frame = pop_frame(stack, size);
  if (frame.rip > cpu.segments[cs].limit) raise(cpu, kGeneralProtection, 0);
  load_segment(cpu, cs, frame.selector);
  cpu.rip = frame.rip;
  cpu.gpr[rsp] = stack.pointer();
  restore_flags(cpu, frame.flags, size);
  after_flags_change(cpu);
}

void return_to_virtual_8086(Cpu& cpu, Stack& stack, const Frame& frame) {
  const auto pointer = stack.pop<uint32_t>();
  std::array<uint16_t, 6> selectors{};
  for (const SegmentIndex index : {ss, es, ds, fs, gs})
    selectors[index] = static_cast<uint16_t>(stack.pop<uint32_t>());
  selectors[cs] = frame.selector;
  if (frame.rip > 0xffff) raise(cpu, kGeneralProtection, 0);
  for (const SegmentIndex index : {es, cs, ss, ds, fs, gs})
    cpu.segments[index] = virtual_8086_segment(selectors[index]);
  cpu.flags.set_value(frame.flags);
  cpu.cpl = 3;
  cpu.rip = frame.rip;
  cpu.gpr[rsp] = pointer;
  after_flags_change(cpu);
}

void return_protected(Cpu& cpu, unsigned size) {
  if (cpu.flags.test(kNt)) {
    if (cpu.long_mode()) raise(cpu, kGeneralProtection, 0);
    const auto link = load_system<uint16_t>(cpu, cpu.tr.base);
    return switch_task(cpu, link, TaskSwitch::interrupt_return, cpu.next_rip());
  }
  const bool from_64bit = cpu.in_64bit();
  Stack stack(cpu);
  const Frame frame = pop_frame(stack, size);
  if ((frame.flags & kVm) && size == 4 && cpu.cpl == 0 && !cpu.long_mode())
    return return_to_virtual_8086(cpu, stack, frame);

  if (is_null(frame.selector)) raise(cpu, kGeneralProtection, 0);
  Descriptor code = read_descriptor(cpu, frame.selector, kGeneralProtection);
  const unsigned rpl = frame.selector & 3;
  if (!code.segment.is_code() || rpl < cpu.cpl ||
      (is_conforming(code.segment) ? code.segment.dpl() > rpl : code.segment.dpl() != rpl))
    raise(cpu, kGeneralProtection, frame.selector & ~3u);
  check_code_present(cpu, code);

  const bool outer = rpl > cpu.cpl;
  const unsigned old_cpl = cpu.cpl;
  uint64_t pointer = stack.pointer();
  if (outer || from_64bit) {
    pointer = stack.pop(size);
    const auto selector = static_cast<uint16_t>(stack.pop(size));
    Descriptor stack_segment;
    if (is_null(selector)) {
      if (!is_64bit_code(cpu, code.segment) || rpl == 3 || (selector & 3u) != rpl)
        raise(cpu, kGeneralProtection, 0);
      stack_segment.segment.selector = selector;
      stack_segment.segment.access = static_cast<uint16_t>(rpl << 5);
      check_target(cpu, code.segment, frame.rip);
    } else {
      stack_segment = check_stack_segment(cpu, selector, rpl, kGeneralProtection);
      check_target(cpu, code.segment, frame.rip);
      mark_accessed(cpu, stack_segment);
    }
    commit_code_segment(cpu, code, rpl, frame.rip);
    cpu.segments[ss] = stack_segment.segment;
    write_sized(cpu, rsp, pointer, size == 2 && stack_segment.segment.big() ? 4 : size);
  } else {
    check_target(cpu, code.segment, frame.rip);
    commit_code_segment(cpu, code, rpl, frame.rip);
    cpu.gpr[rsp] = pointer;
  }
  // Which flags change depends on the privilege that IRET was executed with.
  cpu.cpl = static_cast<uint8_t>(old_cpl);
  restore_flags(cpu, frame.flags, size);
  cpu.cpl = static_cast<uint8_t>(rpl);
  if (outer) drop_inner_segments(cpu);
  after_flags_change(cpu);
}

// IRETQ from 64-bit code to 64-bit code, with all that it reads in the TLB and nothing to be written or
// refused: false, with nothing done, if it is anything else.
bool return_long(Cpu& cpu) {
  constexpr size_t kWords = 5;
  if (!cpu.in_64bit() || cpu.flags.test(kNt)) return false;
  const uint64_t pointer = cpu.gpr[rsp];
  const TlbEntry& entry = cpu.tlb->entry(pointer);
  if (entry.read_tag != wanted_tag(pointer, 8 * kWords, cpu.tlb_generation)) return false;
  std::array<uint64_t, kWords> frame;  // RIP, CS, RFLAGS, RSP, SS
  std::memcpy(frame.data(), reinterpret_cast<const void*>(pointer + entry.addend), sizeof frame);

  const auto descriptor = [&cpu](uint16_t selector) -> uint64_t {
    const uint64_t offset = selector & ~7u;
    if ((selector & 4) || offset + 7 > cpu.gdtr.limit) return 0;
    const uint64_t address = cpu.gdtr.base + offset;
    const TlbEntry& table = system_tlb(cpu).entry(address);
    if (table.read_tag != wanted_tag(address, 8, cpu.tlb_generation)) return 0;
    uint64_t raw;
    std::memcpy(&raw, reinterpret_cast<const void*>(address + table.addend), sizeof raw);
    return raw;
  };
  // Present, with accessed set.
  constexpr uint64_t kCode = uint64_t{0x209b} << 40, kCodeBits = uint64_t{0x609d} << 40;
  constexpr uint64_t kData = uint64_t{0x93} << 40, kDataBits = uint64_t{0x9b} << 40;
  const auto code_selector = static_cast<uint16_t>(frame[1]),
             stack_selector = static_cast<uint16_t>(frame[4]);
  if (is_null(code_selector)) return false;
  const unsigned level = code_selector & 3u;
  const uint64_t code = descriptor(code_selector);
  if ((code & kCodeBits) != (kCode & kCodeBits) || (code >> 45 & 3) != level || level < cpu.cpl ||
      (stack_selector & 3u) != level || !is_canonical(frame[0]))
    return false;
  Segment stack;
  if (is_null(stack_selector)) {
    if (level == 3) return false;
    stack.selector = stack_selector;
    stack.access = static_cast<uint16_t>(level << 5);
  } else {
    const uint64_t data = descriptor(stack_selector);
    if ((data & kDataBits) != kData || (data >> 45 & 3) != level) return false;
    stack = decode_segment(stack_selector, data);
  }

  const bool outer = level > cpu.cpl;
  restore_flags(cpu, static_cast<uint32_t>(frame[2]), 8);
  cpu.segments[cs] = decode_segment(code_selector, code);
  cpu.segments[ss] = stack;
  cpu.cpl = static_cast<uint8_t>(level);
  cpu.rip = frame[0];
  cpu.gpr[rsp] = frame[3];
  if (outer) drop_inner_segments(cpu);
  after_flags_change(cpu);
  return true;
}

}  // namespace

void restore_flags(Cpu& cpu, uint32_t value, unsigned size) {
  uint32_t mask = kArithmeticFlags | kTf | kDf | kNt;
  if (size > 2) mask |= kRf | kAc | kId;
  if (cpu.virtual_8086()) {
    mask |= kIf;  // IOPL is 3, or there would have been a fault.
  } else {
    if (cpu.cpl <= iopl(cpu)) mask |= kIf;
    if (cpu.cpl == 0) mask |= kIopl | (size > 2 ? kVif | kVip : 0);
  }
  cpu.flags.set_value((cpu.flags.value() & ~mask) | (value & mask));
}

void return_from_interrupt(Cpu& cpu, const Insn& insn) {
  unblock_nmi(cpu);  // Even if it faults (Intel SDM vol. 3, 6.7.1).
  if (cpu.real_mode() || cpu.virtual_8086())
    return_flat(cpu, insn.operand_size);
  else if (insn.operand_size != 8 || !return_long(cpu))
    return_protected(cpu, insn.operand_size);
}

void interrupt_n(Cpu& cpu, const Insn& insn) {
  software_interrupt(cpu, static_cast<uint8_t>(insn.immediate), SoftwareInterrupt::int_n);
}

void interrupt_3(Cpu& cpu, const Insn&) {
  software_interrupt(cpu, kBreakpoint, SoftwareInterrupt::int3);
}

void interrupt_overflow(Cpu& cpu, const Insn&) {
  if (cpu.flags.of())
    software_interrupt(cpu, kOverflow, SoftwareInterrupt::into);
  else
    finish(cpu);
}

void interrupt_1(Cpu& cpu, const Insn&) {
  software_interrupt(cpu, kDebug, SoftwareInterrupt::int1);
}

void clear_interrupt_flag(Cpu& cpu, const Insn&) {
  if (cpu.cpl > iopl(cpu)) raise(cpu, kGeneralProtection, 0);
  cpu.flags.set(kIf, false);
}

void set_interrupt_flag(Cpu& cpu, const Insn&) {
  if (cpu.cpl > iopl(cpu)) raise(cpu, kGeneralProtection, 0);
  if (!cpu.flags.test(kIf)) {
    cpu.flags.set(kIf, true);
    cpu.interrupt_shadow = true;
    cpu.debug_shadow = false;
    recheck_interrupts(cpu);
  }
  finish(cpu);
}

void halt(Cpu& cpu, const Insn&) {
  require_cpl0(cpu);
  cpu.halted = true;
  cpu.interrupt_shadow = false;
  if (cpu.flags.test(kIf)) recheck_interrupts(cpu);
  finish(cpu);
}

}  // namespace alcove::cpu::soft
