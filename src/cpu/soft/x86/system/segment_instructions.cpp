// Moves to and from segment registers, and the instructions that ask about descriptors.
#include <optional>

#include "cpu/soft/x86/system/handlers.h"
#include "cpu/soft/x86/system/segments.h"
#include "cpu/soft/x86/system/stack.h"

namespace alcove::cpu::soft {
namespace {

// The register that one-byte and 0F-map PUSH and POP opcodes name, in bits 3-5.
SegmentIndex opcode_segment(const Insn& insn) {
  return static_cast<SegmentIndex>(insn.opcode >> 3 & 7);
}

// The register of LDS, LES, LSS, LFS and LGS.
SegmentIndex far_pointer_segment(const Insn& insn) {
  switch (insn.opcode) {
    case 0xc4:
      return es;
    case 0xc5:
      return ds;
    case 0xb2:
      return ss;
    case 0xb4:
      return fs;
    default:
      return gs;
  }
}

// A descriptor that the program may ask about; none is not an error (ZF = 0).
std::optional<Descriptor> visible_descriptor(Cpu& cpu, uint16_t selector) {
  if (is_null(selector)) return std::nullopt;
  const auto address = descriptor_address(cpu, selector);
  if (!address) return std::nullopt;
  Descriptor descriptor{.address = *address, .raw = load_system<uint64_t>(cpu, *address)};
  descriptor.segment = decode_segment(selector, descriptor.raw);
  const unsigned dpl = descriptor.segment.dpl();
  if (!is_conforming(descriptor.segment) && (dpl < cpu.cpl || dpl < (selector & 3u))) return std::nullopt;
  return descriptor;
}

// Whether LAR (or LSL, which leaves gates out) knows a system descriptor type.
bool is_known_type(const Cpu& cpu, const Segment& segment, bool gates) {
  if (!is_system(segment)) return true;
  switch (type_of(segment)) {
    case kLdt:
    case kTssAvailable:
    case kTssBusy:
      return true;
    case kTss16Available:
    case kTss16Busy:
      return !cpu.long_mode();
    case kCallGate16:
    case kTaskGate:
      return gates && !cpu.long_mode();
    case kCallGate:
      return gates;
    default:
      return false;
  }
}

}  // namespace

void move_from_segment(Cpu& cpu, const Insn& insn) {
  if ((insn.reg & 7) > gs) raise(cpu, kInvalidOpcode);
  write_word(cpu, insn, cpu.segments[insn.reg & 7].selector);
}

void move_to_segment(Cpu& cpu, const Insn& insn) {
  const auto index = static_cast<SegmentIndex>(insn.reg & 7);
  if (index > gs || index == cs) raise(cpu, kInvalidOpcode);
  load_segment(cpu, index, read_rm<uint16_t>(cpu, insn));
  if (index == ss) cpu.interrupt_shadow = cpu.debug_shadow = true;
  finish(cpu);
}

void push_segment(Cpu& cpu, const Insn& insn) {
  Stack stack(cpu);
  stack.push(cpu.segments[opcode_segment(insn)].selector, insn.operand_size);
  cpu.gpr[rsp] = stack.pointer();
}

void pop_segment(Cpu& cpu, const Insn& insn) {
  const SegmentIndex index = opcode_segment(insn);
  Stack stack(cpu);
  const auto selector = static_cast<uint16_t>(stack.pop(insn.operand_size));
  load_segment(cpu, index, selector);
  cpu.gpr[rsp] = stack.pointer();
  if (index == ss) cpu.interrupt_shadow = cpu.debug_shadow = true;
  finish(cpu);
}

void load_far_pointer(Cpu& cpu, const Insn& insn) {
  const unsigned size = insn.operand_size;
  const uint64_t address = linear_address(cpu, insn, size + 2, false);
  const uint64_t offset = size == 8   ? load<uint64_t>(cpu, address)
                          : size == 4 ? load<uint32_t>(cpu, address)
                                      : load<uint16_t>(cpu, address);
  const auto selector = load<uint16_t>(cpu, address + size);
  load_segment(cpu, far_pointer_segment(insn), selector);
  write_sized(cpu, insn.reg, offset, size);
  finish(cpu);
}

void load_access_rights(Cpu& cpu, const Insn& insn) {
  const auto descriptor = visible_descriptor(cpu, read_rm<uint16_t>(cpu, insn));
  const bool known = descriptor && is_known_type(cpu, descriptor->segment, true);
  if (known)
    write_sized(cpu, insn.reg, descriptor->raw >> 32 & (insn.operand_size == 2 ? 0xff00 : 0xf0ff00),
                insn.operand_size);
  cpu.flags.set_zf(known);
}

void load_segment_limit(Cpu& cpu, const Insn& insn) {
  const auto descriptor = visible_descriptor(cpu, read_rm<uint16_t>(cpu, insn));
  const bool known = descriptor && is_known_type(cpu, descriptor->segment, false);
  if (known) write_sized(cpu, insn.reg, descriptor->segment.limit, insn.operand_size);
  cpu.flags.set_zf(known);
}

void verify_read(Cpu& cpu, const Insn& insn) {
  const auto descriptor = visible_descriptor(cpu, read_rm<uint16_t>(cpu, insn));
  cpu.flags.set_zf(descriptor && !is_system(descriptor->segment) && is_readable(descriptor->segment));
}

void verify_write(Cpu& cpu, const Insn& insn) {
  const auto descriptor = visible_descriptor(cpu, read_rm<uint16_t>(cpu, insn));
  cpu.flags.set_zf(descriptor && descriptor->segment.writable());
}

void adjust_rpl(Cpu& cpu, const Insn& insn) {
  const unsigned wanted = cpu.gpr[insn.reg] & 3;
  bool raised = false;
  const auto adjust = [&](uint16_t selector) {
    raised = (selector & 3u) < wanted;
    return static_cast<uint16_t>(raised ? (selector & ~3u) | wanted : selector);
  };
  if (insn.is_register)
    write_gpr<uint16_t>(cpu, insn.rm, adjust(read_gpr<uint16_t>(cpu, insn.rm)));
  else
    modify<uint16_t>(cpu, linear_address(cpu, insn, 2, true), false, adjust);
  cpu.flags.set_zf(raised);
}

}  // namespace alcove::cpu::soft
