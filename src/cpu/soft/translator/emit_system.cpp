// What kernels do often beside computing: flags that mask interrupts, bases of segments, time, control
// registers, and bit strings.
#include "cpu/soft/apic/apic.h"
#include "cpu/soft/translator/emitter.h"

namespace alcove::cpu::soft {
namespace {

constexpr HostOpcode kMovzxWord{.opcode = 0xb7, .map = 1};

HostMemory segment_member(unsigned segment, size_t member) {
  return gs_memory(static_cast<int32_t>(offsetof(Cpu, segments) + sizeof(Segment) * segment + member));
}

}  // namespace

void BlockEmitter::system(const Insn& insn, Way way) {
  const bool privileged = block().mode.privileged;
  clobber_both();
  switch (way) {
    case Way::clear_interrupt_flag:
      if (!privileged) return by_handler(insn);
      return clear_system_flag(ALCOVE_TRANSLATED(no_interrupts), kIf);
    case Way::set_interrupt_flag:
      return privileged ? set_interrupt_flag(insn) : by_handler(insn);
    case Way::clear_direction_flag:
      return clear_system_flag(ALCOVE_TRANSLATED(upwards), kDf);
    case Way::push_flags:
      return push_flags(insn);
    case Way::swap_gs:
      return privileged ? swap_gs() : by_handler(insn);
    case Way::serialize:
      return serialize(insn);
    case Way::read_fs_base:
      return read_base(insn, fs);
    case Way::read_gs_base:
      return read_base(insn, gs);
    case Way::write_fs_base:
      return write_base(insn, fs);
    case Way::write_gs_base:
      return write_base(insn, gs);
    case Way::read_time:
      return read_time(false);
    case Way::read_time_and_processor:
      return read_time(true);
    case Way::read_control:
      return privileged ? read_control(insn) : by_handler(insn);
    case Way::read_selector:
      return read_selector(insn);
    default:
      return by_handler(insn);
  }
}

// `kept`: the flags that stay as they are.
void BlockEmitter::clear_system_flag(const HostMemory& kept, uint32_t flag) {
  if (flags_live()) {
    a_.load32(kWord, system_flags());
    a_.pext(kWord, kWord, kept.displacement);
    a_.pdep(kWord, kWord, kept.displacement);
    a_.op({.opcode = 0x89}, kWord, system_flags());
  } else {
    a_.op({.opcode = 0x81}, 4, system_flags());  // AND
    a_.word32(~flag);
  }
}

// Interrupts that wait are the handler's business.
void BlockEmitter::set_interrupt_flag(const Insn& insn) {
  static_assert(offsetof(Cpu, debug_shadow) == offsetof(Cpu, interrupt_shadow) + 1);
  a_.load(kWord, ALCOVE_CPU_MEMBER(apic));
  a_.op({.opcode = 0xb6, .map = 1}, kWord,
        HostMemory{.base = kWord, .displacement = static_cast<int32_t>(Apic::has_requests_offset())});
  const Assembler::Fixup calm = a_.jump_rcx_zero();
  refuse(a_.jump());
  a_.bind(calm);
  a_.load32(kWord, system_flags());
  a_.move(kAddress, kWord);
  a_.pext(kWord, kWord, ALCOVE_TRANSLATED(interrupts).displacement);
  const Assembler::Fixup masked = a_.jump_rcx_zero();
  const Assembler::Fixup done = a_.jump_short();
  a_.bind(masked);
  a_.lea(kAddress, {.base = kAddress, .displacement = kIf});
  a_.op({.opcode = 0x89}, kAddress, system_flags());
  a_.op({.opcode = 0xc7, .operand_size = true}, 0, ALCOVE_CPU_MEMBER(interrupt_shadow));
  a_.byte(1);
  a_.byte(0);
  load_linear(kWord, page_offset(insn.offset + insn.length));
  a_.store(ALCOVE_TRANSLATED(shadow), kWord);
  a_.bind(done);
}

// RFLAGS into RCX. RF and VM are clear while translated code runs.
void BlockEmitter::read_flags() {
  a_.byte(0x9c);  // PUSHFQ, POP RCX
  a_.op_plus({.opcode = 0x58}, kWord);
  a_.pext(kWord, kWord, ALCOVE_TRANSLATED(arithmetic).displacement);
  a_.pdep(kWord, kWord, ALCOVE_TRANSLATED(arithmetic).displacement);
  a_.load32(kAddress, system_flags());
  a_.lea(kWord, {.base = kWord, .index = kAddress, .displacement = 2});
}

void BlockEmitter::push_flags(const Insn& insn) {
  if (insn.operand_size != 8 || in_window()) return by_handler(insn);
  read_flags();
  a_.store(ALCOVE_TRANSLATED(saved), kWord);
  push_saved();
}

void BlockEmitter::swap_gs() {
  const HostMemory base = segment_member(gs, offsetof(SegmentRegister, base));
  a_.load(kWord, base);
  a_.load(kAddress, ALCOVE_CPU_MEMBER(kernel_gs_base));
  a_.store(ALCOVE_CPU_MEMBER(kernel_gs_base), kWord);
  a_.store(base, kAddress);
  a_.store(gs_memory(static_cast<int32_t>(offsetof(Cpu, segment_base) + 8 * gs)), kAddress);
}

// Changes of code by stores before it, whoever made them, are Cpu::attention.
void BlockEmitter::serialize(const Insn& insn) {
  a_.op_plain({.opcode = 0xae, .map = 1});  // MFENCE
  a_.byte(0xf0);
  poll_attention({.from = {},
                  .page_offset = page_offset(insn.offset + insn.length),
                  .target_known = false,
                  .swapped = true});
}

// To the handler unless that word of Cpu has the bits.
void BlockEmitter::require(const HostMemory& word, const HostMemory& bits) {
  a_.load(kWord, word);
  a_.pext(kWord, kWord, bits.displacement);
  const Assembler::Fixup missing = a_.jump_rcx_zero();
  const Assembler::Fixup there = a_.jump_short();
  a_.bind(missing);
  refuse(a_.jump());
  a_.bind(there);
}

void BlockEmitter::read_base(const Insn& insn, unsigned segment) {
  require(ALCOVE_CPU_MEMBER(cr4), ALCOVE_TRANSLATED(cr4_fsgsbase));
  a_.load(kWord, segment_member(segment, offsetof(SegmentRegister, base)));
  if (insn.operand_size == 4) a_.op({.opcode = 0x8b}, kWord, kWord);
  write_general(insn.rm);
}

void BlockEmitter::write_base(const Insn& insn, unsigned segment) {
  require(ALCOVE_CPU_MEMBER(cr4), ALCOVE_TRANSLATED(cr4_fsgsbase));
  HostRegister value = host_or_load(insn.rm, kAddress);
  if (insn.operand_size == 4) {
    a_.op({.opcode = 0x8b}, kAddress, value);
    value = kAddress;
  } else {
    // All of the upper bits are 0, or all are 1.
    a_.pext(kWord, value, ALCOVE_TRANSLATED(not_canonical).displacement);
    const Assembler::Fixup lower = a_.jump_rcx_zero();
    a_.lea(kWord, {.base = kWord, .displacement = -0x1ffff});
    const Assembler::Fixup upper = a_.jump_rcx_zero();
    refuse(a_.jump());
    a_.bind(lower);
    a_.bind(upper);
  }
  a_.store(segment_member(segment, offsetof(SegmentRegister, base)), value);
  a_.store(gs_memory(static_cast<int32_t>(offsetof(Cpu, segment_base) + 8 * segment)), value);
}

// RCX to a general register, all 64 bits.
void BlockEmitter::write_general(unsigned guest) {
  if (host(guest) != kNoHostRegister)
    a_.move(host(guest), kWord);
  else
    a_.store(gpr_slot(guest), kWord);
}

void BlockEmitter::read_time(bool processor_too) {
  if (!block().mode.privileged) {
    a_.load(kWord, ALCOVE_CPU_MEMBER(cr4));
    a_.pext(kWord, kWord, ALCOVE_TRANSLATED(cr4_tsd).displacement);
    const Assembler::Fixup allowed = a_.jump_rcx_zero();
    refuse(a_.jump());
    a_.bind(allowed);
  }
  // RDTSCP waits for what is before it.
  if (processor_too) a_.op({.opcode = 0xae, .map = 1}, 5, kHostRax);  // LFENCE
  a_.op_plain({.opcode = 0x31, .map = 1});
  a_.rorx(kHostRdx, kHostRdx, 32);
  a_.lea(kHostRax, {.base = kHostRax, .index = kHostRdx});
  a_.load(kWord, ALCOVE_CPU_MEMBER(tsc_offset));
  a_.lea(kHostRax, {.base = kHostRax, .index = kWord});
  a_.rorx(kHostRdx, kHostRax, 32);
  a_.op({.opcode = 0x8b}, kHostRdx, kHostRdx);
  a_.op({.opcode = 0x8b}, kHostRax, kHostRax);
  if (processor_too) a_.load32(kGuestRcx, ALCOVE_CPU_MEMBER(tsc_aux));
}

void BlockEmitter::read_control(const Insn& insn) {
  if (insn.lock) return by_handler(insn);
  switch (insn.reg) {
    case 0:
      a_.load(kWord, ALCOVE_CPU_MEMBER(cr0));
      break;
    case 2:
      a_.load(kWord, ALCOVE_CPU_MEMBER(cr2));
      break;
    case 3:
      a_.load(kWord, ALCOVE_CPU_MEMBER(cr3));
      break;
    case 4:
      a_.load(kWord, ALCOVE_CPU_MEMBER(cr4));
      break;
    default:
      return by_handler(insn);
  }
  write_general(insn.rm);
}

void BlockEmitter::read_selector(const Insn& insn) {
  if (!insn.is_register || insn.operand_size == 2 || insn.reg > gs) return by_handler(insn);
  a_.op(kMovzxWord, kWord, segment_member(insn.reg, offsetof(SegmentRegister, selector)));
  write_general(insn.rm);
}

// BT, BTS, BTR and BTC in memory with the bit's number in a register: it also counts words, from the address
// on or before it.
void BlockEmitter::bit_in_memory(const Insn& insn) {
  const bool wide = insn.operand_size == 8;
  const HostRegister number = host(insn.reg);
  if (insn.operand_size == 2 || insn.address_size != 8 || number == kNoHostRegister || in_window())
    return by_handler(insn);
  const HostRegister base = insn.base < kNoRegister ? host(insn.base) : kNoHostRegister;
  const bool simple = (insn.base == kNoRegister || base != kNoHostRegister) && insn.index == kNoRegister &&
                      insn.displacement == static_cast<int32_t>(insn.displacement);
  if (!simple) {
    load_address(kAddress, effective_address(insn), true);
    a_.store(ALCOVE_TRANSLATED(saved), kAddress);
  }
  HostRegister bits = number;
  if (!wide) {
    a_.op({.opcode = 0x63, .wide = true}, kAddress, number);  // MOVSXD
    bits = kAddress;
  }
  a_.move_immediate(kWord, wide ? 6 : 5);
  a_.sarx(kAddress, bits, kWord);
  HostMemory word{.base = base, .index = kAddress, .scale = static_cast<uint8_t>(wide ? 3 : 2)};
  if (simple) {
    word.displacement = static_cast<int32_t>(insn.displacement);
  } else {
    a_.load(kWord, ALCOVE_TRANSLATED(saved));
    word.base = kWord;
  }
  a_.lea(kAddress, word);
  if (insn.segment >= fs) {
    a_.load(kWord, gs_memory(static_cast<int32_t>(offsetof(Cpu, segment_base) + 8 * insn.segment)));
    a_.lea(kAddress, {.base = kAddress, .index = kWord});
  }

  constexpr uint8_t kBt = 0xa3;
  const HostOpcode opcode{.opcode = insn.opcode, .map = 1, .wide = wide, .lock = insn.lock};
  const bool write = insn.opcode != kBt;
  a_.lea(kAddress,
         look_up(kAddress, insn.operand_size, write, insn.lock ? Unaligned::refuse : Unaligned::check_page));
  const HostMemory operand{.base = kAddress};
  if (insn.lock) {
    a_.pext(kWord, number, ALCOVE_TRANSLATED(low_bits).displacement + 8 * (wide ? 5 : 4));
    note_access();
    a_.op(opcode, kWord, operand);
    return;
  }
  note_access();
  a_.op({.opcode = 0x8b, .wide = wide}, kWord, operand);
  a_.op(opcode, number, kWord);
  if (!write) return;
  note_access();
  a_.op({.opcode = 0x89, .wide = wide}, kWord, operand);
}

}  // namespace alcove::cpu::soft
