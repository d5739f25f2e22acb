// SYSCALL and SYSRET between 64-bit code of CPL 3 and CPL 0, where nothing but registers changes: the rest is
// in TranslatedState::fast_calls.
#include "cpu/soft/apic/apic.h"
#include "cpu/soft/translator/emitter.h"

namespace alcove::cpu::soft {
namespace {

constexpr HostOpcode kAnd{.opcode = 0x81}, kTest{.opcode = 0xf7}, kShift{.opcode = 0xc1},
    kStore32{.opcode = 0x89}, kLoad32{.opcode = 0x8b};
// What SYSRET takes from R11 beside the arithmetic flags.
constexpr uint32_t kSystemFlags = 0x3c7fd7 & ~kArithmeticFlags & ~2u;

HostMemory level_member(size_t level, size_t member) {
  return translated_slot(level + member);
}

}  // namespace

void BlockEmitter::change_level(size_t level, uint8_t cpl) {
  constexpr size_t kSegments = offsetof(TranslatedState::Level, segments);
  constexpr size_t kCs = offsetof(Cpu, segments) + sizeof(Segment) * cs;
  static_assert(ss == cs + 1 && sizeof(TranslatedState::Level::segments) == 2 * sizeof(Segment));
  for (size_t i = 0; i < 4; ++i) {
    a_.load(kWord, level_member(level, kSegments + 8 * i));
    a_.store(gs_memory(static_cast<int32_t>(kCs + 8 * i)), kWord);
  }
  a_.load(kWord, level_member(level, offsetof(TranslatedState::Level, tlb)));
  a_.store(ALCOVE_CPU_MEMBER(tlb), kWord);
  a_.op({.opcode = 0xc6}, 0, ALCOVE_CPU_MEMBER(cpl));  // MOV
  a_.byte(cpl);
  a_.op({.opcode = 0xc7}, 0, ALCOVE_TRANSLATED(changed_level));
  a_.word32(1);
  a_.load(kWord, ALCOVE_TRANSLATED(other_returns));
  a_.store(ALCOVE_TRANSLATED(other_returns), kHostRsp);
  a_.move(kHostRsp, kWord);
  // All that GS leads to of the processor is the same in both.
  a_.load(kWord, level_member(level, offsetof(TranslatedState::Level, gs_base)));
  a_.op({.opcode = 0xae, .map = 1, .wide = true, .mandatory = 0xf3}, 3, kWord);  // WRGSBASE
}

void BlockEmitter::system_call(const Insn& insn) {
  if (!block().mode.user) return by_handler(insn);
  clobber_both();
  a_.load(kWord, ALCOVE_TRANSLATED(fast_calls));
  const Assembler::Fixup slow = a_.jump_rcx_zero();
  const Assembler::Fixup fast = a_.jump_short();
  a_.bind(slow);
  refuse(a_.jump());
  a_.bind(fast);

  swap_out();
  read_flags();
  a_.store(gpr_slot(r11), kWord);
  load_linear(kGuestRcx, page_offset(insn.offset + insn.length));
  a_.load32(kWord, ALCOVE_CPU_MEMBER(sfmask));
  a_.op({.opcode = 0xf7}, 2, kWord);  // NOT
  a_.op({.opcode = 0x21}, kWord, system_flags());
  change_level(offsetof(TranslatedState, kernel), 0);
  a_.load(kAddress, ALCOVE_CPU_MEMBER(lstar));
  // SFMASK clears all arithmetic flags, as this sum does.
  a_.move_immediate(kWord, 0);
  a_.op({.opcode = 0x83}, 0, kWord);
  a_.byte(1);
  jump_to_level(false);
}

void BlockEmitter::system_return(const Insn& insn) {
  if (!block().mode.privileged || insn.operand_size != 8) return by_handler(insn);
  clobber_both();
  a_.load(kWord, ALCOVE_TRANSLATED(fast_calls));
  a_.op({.opcode = 0x85, .wide = true}, kWord, kWord);
  refuse_if(kHostEqual);
  // To the lower half only, with TF clear, and with nothing that wants attention or is to be delivered. What
  // goes back and forth by SYSCALL and SYSRET alone passes no other place that looks.
  a_.op({.opcode = 0x83}, 7, ALCOVE_CPU_MEMBER(attention));  // CMP
  a_.byte(0);
  refuse_if(kHostNotEqual);
  a_.move(kWord, kGuestRcx);
  a_.op({.opcode = 0xc1, .wide = true}, 5, kWord);  // SHR
  a_.byte(47);
  refuse_if(kHostNotEqual);
  a_.load(kWord, ALCOVE_CPU_MEMBER(apic));
  a_.op({.opcode = 0x80}, 7,
        HostMemory{.base = kWord, .displacement = static_cast<int32_t>(Apic::has_requests_offset())});  // CMP
  a_.byte(0);
  refuse_if(kHostNotEqual);
  const HostRegister flags = host_or_load(r11, kAddress);
  a_.op(kTest, 0, flags);
  a_.word32(kTf);
  refuse_if(kHostNotEqual);

  swap_out();
  a_.load32(kAddress, gpr_slot(r11));
  a_.op(kAnd, 4, kAddress);
  a_.word32(kSystemFlags);
  a_.op(kStore32, kAddress, system_flags());
  change_level(offsetof(TranslatedState, user), 3);
  // As common_code.cpp does.
  a_.store(ALCOVE_TRANSLATED(saved), kHostRax);
  a_.load32(kHostRax, gpr_slot(r11));
  a_.op(kLoad32, kWord, kHostRax);
  a_.op(kShift, 5, kWord);  // SHR
  a_.byte(11);
  a_.op({.opcode = 0x83}, 4, kWord);  // AND
  a_.byte(1);
  a_.op(kShift, 4, kHostRax);  // SHL
  a_.byte(8);
  a_.op({.opcode = 0x0b}, kHostRax, kWord);  // OR
  a_.byte(0x04);                             // ADD AL, 127
  a_.byte(127);
  a_.byte(0x9e);  // SAHF
  a_.load(kHostRax, ALCOVE_TRANSLATED(saved));
  a_.move(kAddress, kGuestRcx);
  jump_to_level(true);
}

}  // namespace alcove::cpu::soft
