#include "cpu/soft/translator/common_code.h"

#include "cpu/soft/translator/jump_lookup.h"
#include "cpu/soft/x86/host_features.h"

namespace alcove::cpu::soft {
namespace {

constexpr HostRegister kKept[] = {kHostRbx, kHostRbp, kHostR12, kHostR13, kHostR14, kHostR15};
constexpr uint8_t kLoadAligned = 0x28, kStoreAligned = 0x29;  // MOVAPS
static_assert(offsetof(FpuState, ymm) == 0 && sizeof(FpuState::Vector256) == 32);

void push(Assembler& a, HostRegister reg) {
  a.op_plus({.opcode = 0x50}, reg);
}
void pop(Assembler& a, HostRegister reg) {
  a.op_plus({.opcode = 0x58}, reg);
}

// Whole vectors only if their upper halves are in use. On the other side those are zero: code without VEX
// prefixes is slow beside others.
void move_vectors(Assembler& a, uint8_t opcode) {
  const auto move_all = [&](bool whole) {
    for (unsigned i = 0; i < 16; ++i)
      a.op({.opcode = opcode, .map = 1, .vex = whole, .l = whole}, i,
           gs_memory(static_cast<int32_t>(offsetof(Cpu, fpu) + 32 * i)));
  };
  if (!host_runs_avx()) return move_all(false);
  const auto zero_upper_halves = [&] { a.op_plain({.opcode = 0x77, .map = 1, .vex = true}); };
  a.op({.opcode = 0x80}, 7, ALCOVE_CPU_MEMBER(fpu.upper_in_use));  // CMP
  a.byte(0);
  const Assembler::Fixup in_use = a.jump_if(kHostNotEqual);
  if (opcode == kLoadAligned) zero_upper_halves();
  move_all(false);
  const Assembler::Fixup done = a.jump();
  a.bind(in_use);
  move_all(true);
  if (opcode == kStoreAligned) zero_upper_halves();
  a.bind(done);
}

void save_guest(Assembler& a) {
  for (unsigned i = 0; i < kHostOf.size(); ++i)
    if (kHostOf[i] != kNoHostRegister) a.store(gpr_slot(i), kHostOf[i]);
  a.byte(0x9f);                                   // LAHF
  a.op({.opcode = 0x90, .map = 1}, 0, kHostRax);  // SETO AL
  a.store(ALCOVE_TRANSLATED(flags), kHostRax);
  move_vectors(a, kStoreAligned);
}

void load_guest(Assembler& a) {
  move_vectors(a, kLoadAligned);
  a.load(kHostRax, ALCOVE_TRANSLATED(flags));
  a.byte(0x04);  // ADD AL, 127 gives OF,
  a.byte(127);
  a.byte(0x9e);  // SAHF the others.
  for (unsigned i = 0; i < kHostOf.size(); ++i)
    if (kHostOf[i] != kNoHostRegister) a.load(kHostOf[i], gpr_slot(i));
}

// The host's stack is the ReturnStack inside.
void go_in(Assembler& a) {
  load_guest(a);
  a.load(kHostRsp, ALCOVE_TRANSLATED(returns));
  a.jump_memory(ALCOVE_TRANSLATED(result));
}

void leave_returns(Assembler& a) {
  a.store(ALCOVE_TRANSLATED(returns), kHostRsp);
  a.load(kHostRsp, ALCOVE_TRANSLATED(host_rsp));
}

// Where a return leads whose place on the ReturnStack is another's; the linear address is in RBP.
void look_up_return(Assembler& a, const CommonCode& code, bool user) {
  const JumpLookup jumps(user);
  const Assembler::Fixup known = jumps.find(a);
  a.call(code.find_place[user]);
  const Assembler::Fixup found = a.jump_rcx_zero();
  a.load(kWord, ALCOVE_TRANSLATED(return_site));
  a.jump(code.leave);
  a.bind(known);
  a.bind(found);
  // Returns can be all that a loop is made of.
  a.load32(kWord, ALCOVE_CPU_MEMBER(attention));
  const Assembler::Fixup calm = a.jump_rcx_zero();
  a.move_immediate(kWord, kNoLink);
  a.jump(code.leave);
  a.bind(calm);
  a.jump_memory(jumps.found(a));
}

// See CommonCode. Changes no flags.
const uint8_t* find_place(Assembler& a, bool user) {
  using Rest = JumpCache::Rest;
  const JumpLookup jumps(user);
  const int32_t rest = jumps.rest();
  const auto by_word = [](HostRegister index, size_t displacement, uint8_t scale = 3) {
    return HostMemory{
        .index = index, .scale = scale, .displacement = static_cast<int32_t>(displacement), .gs = true};
  };
  constexpr HostRegister kA = kHostRax, kD = kHostRdx;
  const size_t kept = offsetof(TranslatedState, kept);

  a.align(16);
  const uint8_t* const begin = a.address();
  a.store(translated_slot(kept), kA);
  a.store(translated_slot(kept + 8), kD);
  // The page,
  a.pext(kWord, kAddress, ALCOVE_TRANSLATED(page_index).displacement);
  a.pext(kA, kAddress, ALCOVE_TRANSLATED(page_number).displacement);
  a.load(kD, by_word(kWord, static_cast<size_t>(rest) + offsetof(Rest, page_tags)));
  a.lea(kD, {.base = kD, .index = kA});
  a.load(kA, by_word(kWord, static_cast<size_t>(rest) + offsetof(Rest, physical_pages)));
  a.move(kWord, kD);
  const Assembler::Fixup known = a.jump_rcx_zero();
  const Assembler::Fixup unknown_page = a.jump_short();
  a.bind(known);
  // what lies there in physical memory,
  a.pext(kD, kAddress, ALCOVE_TRANSLATED(in_page).displacement);
  a.lea(kA, {.base = kA, .index = kD});
  static_assert(sizeof(CodePlaces::Entry) == 16);
  a.pext(kWord, kA, ALCOVE_TRANSLATED(place).displacement);
  a.lea(kWord, {.base = kWord, .index = kWord});
  const auto places = static_cast<size_t>(FlatMap::places_at(user));
  a.load(kD, by_word(kWord, places + offsetof(CodePlaces::Entry, tag)));
  a.lea(kD, {.base = kD, .index = kA});
  a.load(kA, by_word(kWord, places + offsetof(CodePlaces::Entry, code)));
  a.move(kWord, kD);
  const Assembler::Fixup found = a.jump_rcx_zero();
  a.bind(unknown_page);
  a.load(kA, translated_slot(kept));
  a.load(kD, translated_slot(kept + 8));
  a.return_near();
  // and into the jump cache with it, as JumpCache::add() does.
  a.bind(found);
  jumps.index(a);
  a.store(jumps.code(), kA);
  a.move(kA, kAddress);
  a.op({.opcode = 0xf7, .wide = true}, 2, kA);  // NOT
  a.lea(kA, {.base = kA, .displacement = 1});
  a.store(jumps.tag(), kA);
  const HostMemory count = gs_memory(rest + static_cast<int32_t>(offsetof(Rest, log_count)));
  a.load(kA, count);
  a.pext(kD, kA, ALCOVE_TRANSLATED(jump_log).displacement);
  a.op({.opcode = 0x89}, kWord, by_word(kD, static_cast<size_t>(rest) + offsetof(Rest, log), 2));  // MOV
  a.lea(kA, {.base = kA, .displacement = 1});
  a.store(count, kA);
  a.load(kA, translated_slot(kept));
  a.load(kD, translated_slot(kept + 8));
  a.move_immediate(kWord, 0);
  a.return_near();
  return begin;
}

void make_misses(Assembler& a, CommonCode& code, bool user) {
  const JumpLookup jumps(user);
  code.find_place[user] = find_place(a, user);
  a.align(16);
  code.far_miss[user] = a.address();
  a.call(code.find_place[user]);
  const Assembler::Fixup found = a.jump_rcx_zero();
  a.move_immediate(kWord, kFarMiss);
  a.jump(code.leave);
  a.bind(found);
  a.jump_memory(jumps.found(a));
  a.align(16);
  code.indirect_miss[user] = a.address();
  a.store(ALCOVE_TRANSLATED(result), kWord);
  a.call(code.find_place[user]);
  const Assembler::Fixup found_indirect = a.jump_rcx_zero();
  a.load(kWord, ALCOVE_TRANSLATED(result));
  a.jump(code.leave);
  a.bind(found_indirect);
  a.jump_memory(jumps.found(a));
}

// Back to C++, with RSP as the way in left it.
void return_to_caller(Assembler& a) {
  a.op({.opcode = 0x83, .wide = true}, 0, kHostRsp);
  a.byte(8);
  for (size_t i = std::size(kKept); i-- > 0;) pop(a, kKept[i]);
  a.byte(0xc3);
}

// Calls a function of the Cpu's, and of what RSI has, which gives the code to go in to. The jump that is
// returned is taken where it gives none: where the guest goes on is in Cpu::rip then, and no LinkSite is
// given.
Assembler::Fixup call(Assembler& a, uint64_t function) {
  a.load(kHostRdi, ALCOVE_TRANSLATED(cpu));
  a.move_immediate(kHostRax, function);
  a.op({.opcode = 0xff}, 2, kHostRax);  // CALL
  a.store(ALCOVE_TRANSLATED(result), kHostRax);
  a.op({.opcode = 0x85, .wide = true}, kHostRax, kHostRax);
  const Assembler::Fixup leaves = a.jump_if(kHostEqual);
  go_in(a);
  return leaves;
}

// Goes on unless RCX is other than 0.
void return_unless_rcx_zero(Assembler& a) {
  const Assembler::Fixup goes_on = a.jump_rcx_zero();
  a.byte(0xc3);
  a.bind(goes_on);
}

// The elements from `address` on end within its page.
void check_elements(Assembler& a, HostRegister address, uint8_t shift) {
  a.pext(kWord, address, ALCOVE_TRANSLATED(in_page).displacement);
  a.lea(kWord, {.base = kWord, .index = kGuestRcx, .scale = shift, .displacement = -4097});
  a.op({.opcode = 0xf7, .wide = true}, 2, kWord);  // NOT
  a.pext(kWord, kWord, ALCOVE_TRANSLATED(sign).displacement);
  return_unless_rcx_zero(a);
}

// See CommonCode. Changes no flags.
const uint8_t* repeat_string(Assembler& a, uint8_t shift, bool moves) {
  a.align(16);
  const uint8_t* const begin = a.address();
  a.load32(kWord, gs_memory(static_cast<int32_t>(offsetof(Cpu, flags) + Flags::system_offset())));
  a.pext(kWord, kWord, ALCOVE_TRANSLATED(direction).displacement);
  return_unless_rcx_zero(a);
  a.pext(kWord, kGuestRcx, ALCOVE_TRANSLATED(beyond_page).displacement);
  return_unless_rcx_zero(a);
  if (moves) check_elements(a, kHostRsi, shift);
  check_elements(a, kHostRdi, shift);
  a.move(kHostRcx, kGuestRcx);
  // Where the guest's pointers end, while the registers have the host's.
  a.lea(kGuestRcx, {.base = kHostRdi, .index = kHostRcx, .scale = shift});
  push(a, kGuestRcx);
  a.move(kHostRdi, kAddress);
  if (moves) {
    a.lea(kGuestRcx, {.base = kHostRsi, .index = kHostRcx, .scale = shift});
    push(a, kGuestRcx);
    a.load(kHostRsi, ALCOVE_TRANSLATED(saved));
  }
  a.op_plain({.opcode = static_cast<uint8_t>((moves ? 0xa4 : 0xaa) + (shift != 0)),
              .wide = shift == 3,
              .operand_size = shift == 1,
              .mandatory = 0xf3});
  if (moves) pop(a, kHostRsi);
  pop(a, kHostRdi);
  a.move(kGuestRcx, kHostRcx);
  a.byte(0xc3);
  return begin;
}

}  // namespace

CommonCode make_common_code(CodeMemory& memory, RunHandler run_handler) {
  Assembler a(memory.room(), memory.next());
  CommonCode code;

  code.enter = a.address();
  for (const HostRegister reg : kKept) push(a, reg);
  a.op({.opcode = 0x83, .wide = true}, 5, kHostRsp);  // SUB RSP, 8: calls find the stack aligned.
  a.byte(8);
  a.store(ALCOVE_TRANSLATED(host_rsp), kHostRsp);
  go_in(a);

  code.leave = a.address();
  a.store(ALCOVE_TRANSLATED(target), kAddress);
  a.store(ALCOVE_TRANSLATED(result), kWord);
  leave_returns(a);
  save_guest(a);
  const size_t out = a.size();
  return_to_caller(a);

  a.align(16);
  code.run_handler = a.address();
  a.store(ALCOVE_TRANSLATED(result), kWord);
  leave_returns(a);
  save_guest(a);
  a.load(kHostRsi, ALCOVE_TRANSLATED(result));
  a.bind(call(a, reinterpret_cast<uint64_t>(run_handler)));
  a.jump_back(out);

  for (unsigned i = 0; i < code.check_page.size(); ++i) {
    a.align(16);
    code.check_page[i] = a.address();
    // Bytes to the page's end, less what the access needs: negative unless it crosses.
    a.pext(kWord, kAddress, ALCOVE_TRANSLATED(in_page).displacement);
    a.lea(kWord, {.base = kWord, .displacement = (2 << i) - 4097});
    a.pext(kWord, kWord, ALCOVE_TRANSLATED(sign).displacement);
    a.byte(0xc3);
  }

  for (const bool user : {false, true}) make_misses(a, code, user);

  for (const bool user : {false, true}) {
    a.align(16);
    code.return_from_empty[user] = a.address();
    a.lea(kHostRsp, {.base = kHostRsp, .displacement = -8});
    code.return_elsewhere[user] = a.address();
    look_up_return(a, code, user);
  }

  for (uint8_t i = 0; i < 4; ++i) {
    code.repeat_movs[i] = repeat_string(a, i, true);
    code.repeat_stos[i] = repeat_string(a, i, false);
  }

  memory.commit((a.size() + 63) / 64 * 64);
  return code;
}

const uint8_t* make_fault_delivery(CodeMemory& memory, DeliverFault deliver_fault) {
  Assembler a(memory.room(), memory.next());
  const uint8_t* const begin = a.address();
  a.bind(call(a, reinterpret_cast<uint64_t>(deliver_fault)));
  return_to_caller(a);
  memory.commit((a.size() + 63) / 64 * 64);
  return begin;
}

}  // namespace alcove::cpu::soft
