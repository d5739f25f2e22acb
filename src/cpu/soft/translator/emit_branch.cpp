// Where a block leads: to others of its unit directly, to others of its page by jumps that are patched once
// these are translated, to all others through the jump cache.
#include <algorithm>

#include "cpu/soft/translator/emitter.h"
#include "cpu/soft/translator/jump_lookup.h"
#include "cpu/soft/translator/unit.h"
#include "cpu/soft/x86/decoder.h"

namespace alcove::cpu::soft {
namespace {

// Whether an instruction there is certainly of this page alone. What crosses into the next is known by its
// linear address only.
bool is_near(int64_t page_offset) {
  return page_offset >= 0 && page_offset + kMaximumInsnLength <= int64_t{memory::kPageSize};
}

}  // namespace

void BlockEmitter::set_target(int64_t page_offset) {
  if (is_bound() || page_offset == static_cast<int32_t>(page_offset))
    return load_linear(kAddress, page_offset);
  a_.load(kAddress, ALCOVE_TRANSLATED(page));
  a_.move_immediate(kWord, static_cast<uint64_t>(page_offset));
  a_.lea(kAddress, {.base = kAddress, .index = kWord});
}

void BlockEmitter::load_linear(HostRegister to, int64_t page_offset) {
  if (is_bound()) return a_.move_immediate(to, page_ + static_cast<uint64_t>(page_offset));
  a_.load(to, ALCOVE_TRANSLATED(page));
  a_.lea(to, {.base = to, .displacement = static_cast<int32_t>(page_offset)});
}

// Whether a jump to there may be made to lead there directly.
bool BlockEmitter::links_to(int64_t page_offset) const {
  return is_bound() || is_near(page_offset);
}

// Something wants attention: Cpu::attention is not 0. Flags stay as they are. Whatever may lead back asks,
// calls too: loops can be made of those alone.
void BlockEmitter::go_to(int64_t page_offset, bool poll) {
  if (!links_to(page_offset)) {
    set_target(page_offset);
    go_far(poll);
    return;
  }
  swap_out();
  if (poll) poll_attention({.from = {}, .page_offset = page_offset, .target_known = false, .swapped = false});
  links_.push_back({a_.jump(), page_offset});
}

// To the linear address in RBP.
void BlockEmitter::go_far(bool poll, bool indirect) {
  swap_out();
  PollStub stub{.from = {}, .page_offset = 0, .target_known = true, .swapped = false};
  if (indirect) stub.block = part().block, stub.insn = &insn_at(current_);
  if (poll) poll_attention(stub);
  look_up_jump(indirect);
}

// The linear address in RBP is where to go on if something wants attention.
void BlockEmitter::poll_far(bool calling) {
  poll_attention({.from = {}, .page_offset = 0, .target_known = true, .swapped = false, .calling = calling});
}

// By RCX, so that the flags stay. `stub`: where to leave.
void BlockEmitter::poll_attention(PollStub stub) {
  a_.load32(kWord, ALCOVE_CPU_MEMBER(attention));
  const Assembler::Fixup calm = a_.jump_rcx_zero();
  stub.from = a_.jump();
  polls_.push_back(stub);
  a_.bind(calm);
}

// To the linear address in RBP if the jump cache knows it or can; otherwise leaves.
void BlockEmitter::look_up_jump(bool indirect) {
  const bool user = block().mode.user;
  const JumpLookup jumps(user);
  const Assembler::Fixup found = jumps.find(a_);
  if (indirect) branches_.push_back({a_.lea_rip(kWord), part().block, &insn_at(current_)});
  a_.jump((indirect ? common_.indirect_miss : common_.far_miss)[user]);
  a_.bind(found);
  a_.jump_memory(jumps.found(a_));
}

// The same for code of another CPL.
void BlockEmitter::jump_to_level(bool user) {
  const JumpLookup jumps(user);
  const Assembler::Fixup found = jumps.find(a_);
  a_.jump(common_.far_miss[user]);
  a_.bind(found);
  a_.jump_memory(jumps.found(a_));
}

std::optional<size_t> BlockEmitter::part_at(int64_t page_offset) const {
  for (size_t i = 0; i < parts_.size(); ++i)
    if (parts_[i].page_offset(0) == page_offset) return i;
  return {};
}

void BlockEmitter::jump_to_part(size_t target) {
  bind_to_part(a_.jump(), target);
}

void BlockEmitter::bind_to_part(Assembler::Fixup jump, size_t target) {
  if (parts_[target].begin != Part::kNowhere)
    a_.bind(jump, parts_[target].begin);
  else
    forward_.push_back({jump, target});
}

// As part of a jump back to a part of the unit: RBP and RCX hold nothing there.
void BlockEmitter::poll_inside(size_t target) {
  const int64_t offset = parts_[target].page_offset(0);
  if (parts_[target].flags_live[0]) {
    poll_attention({.from = {}, .page_offset = offset, .target_known = false, .swapped = true});
  } else {
    a_.op({.opcode = 0x83}, 7, ALCOVE_CPU_MEMBER(attention));  // CMP
    a_.byte(0);
    polls_.push_back({a_.jump_if(kHostNotEqual), offset, false, true});
  }
}

// From the end of a part to elsewhere.
void BlockEmitter::lead_to(int64_t page_offset, bool poll) {
  const auto target = part_at(page_offset);
  if (!target) return go_to(page_offset, poll);
  if (poll) poll_inside(*target);
  if (*target != part_ + 1) jump_to_part(*target);
}

void BlockEmitter::fall_through() {
  lead_to(page_offset(block().length), false);
}

// What a small loop from `first` to here does is done several times between two looks at Cpu::attention. Here
// is the end of the first time; the jumps out are returned.
std::vector<Assembler::Fixup> BlockEmitter::repeat_loop(size_t first, uint8_t condition) {
  constexpr size_t kMostTimes = 4;
  const size_t last = part_, at = current_;
  size_t size = 0;
  for (size_t i = first; i <= last; ++i) size += parts_[i].block->count;
  bool straight = size <= kSmallLoop && !repeats_;
  for (size_t i = first; straight && i < last; ++i) {
    const auto next = successors_of(*parts_[i].block).next;
    straight = next && part_at(parts_[i].page_offset(*next)) == i + 1 && !parts_[i + 1].jumped_to;
  }
  std::vector<Assembler::Fixup> ends;
  if (!straight) return ends;
  repeats_ = true;
  for (size_t times = std::min(kSmallLoop / size, kMostTimes); times > 1; --times) {
    ends.push_back(a_.jump_if(condition ^ 1));
    for (part_ = first; part_ < last; ++part_) {
      instructions(block().count);
      if (goes_on(part().last())) fall_through();
    }
    instructions(at);
    current_has_stub_ = handled_ = false;
  }
  repeats_ = false;
  if (!ends.empty()) clobber_both();
  return ends;
}

void BlockEmitter::jump_if(const Insn& insn) {
  const uint8_t condition = insn.opcode & 15;
  const int64_t taken = page_offset(insn.displacement);
  const bool near = links_to(taken), back = insn.displacement <= insn.offset;
  const auto target = part_at(taken);
  if (target && back && !parts_[*target].flags_live[0] && parts_[*target].begin != Part::kNowhere) {
    const std::vector<Assembler::Fixup> ends = repeat_loop(*target, condition);
    const Assembler::Fixup not_taken = a_.jump_if(condition ^ 1);
    a_.op({.opcode = 0x83}, 7, ALCOVE_CPU_MEMBER(attention));  // CMP
    a_.byte(0);
    a_.bind(a_.jump_if(kHostEqual), parts_[*target].begin);
    polls_.push_back({a_.jump(), taken, false, true});
    a_.bind(not_taken);
    for (const Assembler::Fixup end : ends) a_.bind(end);
  } else if (target && !back) {
    bind_to_part(a_.jump_if(condition), *target);
  } else if (target) {
    const Assembler::Fixup not_taken = a_.jump_if(condition ^ 1);
    poll_inside(*target);
    jump_to_part(*target);
    a_.bind(not_taken);
  } else if (near && !back && swaps_.empty()) {
    links_.push_back({a_.jump_if(condition), taken});
  } else {
    exits_.push_back({a_.jump_if(condition), taken, back});
  }
  fall_through();
}

void BlockEmitter::jump_if_counted(const Insn& insn) {
  const bool wide = insn.address_size == 8, loops = insn.opcode == 0xe2;
  if (loops) a_.lea(kGuestRcx, {.base = kGuestRcx, .displacement = -1}, wide);
  a_.op({.opcode = 0x8b, .wide = wide}, kWord, kGuestRcx);
  clobber_both();
  const int64_t taken = page_offset(insn.displacement);
  // JRCXZ does not reach far.
  const Assembler::Fixup zero = a_.jump_rcx_zero();
  Assembler::Fixup not_taken = a_.jump();
  a_.bind(zero);
  if (loops) {
    const Assembler::Fixup counted = not_taken;
    not_taken = a_.jump();
    a_.bind(counted);
  }
  const auto target = part_at(taken);
  const bool back = insn.displacement <= insn.offset;
  if (target) {
    if (back) poll_inside(*target);
    jump_to_part(*target);
  } else {
    go_to(taken, back);
  }
  a_.bind(not_taken);
  fall_through();
}

void BlockEmitter::call_relative(const Insn& insn) {
  const int64_t target = page_offset(insn.displacement);
  push_return_address(insn);
  swap_out();
  if (!knows_returns()) a_.push(kAddress);
  if (links_to(target)) {
    poll_attention({.from = {},
                    .page_offset = target,
                    .target_known = false,
                    .swapped = false,
                    .calling = !knows_returns()});
    links_.push_back({a_.call(), target});
    return return_site(insn);
  }
  set_target(target);
  poll_far(true);
  const bool user = block().mode.user;
  const JumpLookup jumps(user);
  const Assembler::Fixup found = jumps.find(a_);
  a_.call(common_.far_miss[user]);
  const Assembler::Fixup returned = a_.jump_short();
  a_.bind(found);
  a_.call_memory(jumps.found(a_));
  a_.bind(returned);
  return_site(insn);
}

// What a call of the host's is followed by. RBP: where the guest's RET leads. Other code
// than a window's of one place finds on the ReturnStack where it should lead.
void BlockEmitter::return_site(const Insn& insn) {
  clobber_both();
  const bool user = block().mode.user;
  const int64_t next = page_offset(insn.offset + insn.length);
  if (knows_returns()) {
    a_.move_immediate(kWord, -(page_ + static_cast<uint64_t>(next)));
    a_.lea(kWord, {.base = kWord, .index = kAddress});
  } else {
    a_.pop(kWord);
    a_.op({.opcode = 0xf7, .wide = true}, 2, kWord);  // NOT
    a_.lea(kWord, {.base = kWord, .index = kAddress, .displacement = 1});
  }
  const Assembler::Fixup expected = a_.jump_rcx_zero();
  a_.jump(common_.return_elsewhere[user]);
  a_.bind(expected);
  if (is_bound()) {
    links_.push_back({a_.jump(), next});
  } else if (is_near(next)) {
    a_.lea(kWord, {.base = kAddress, .displacement = static_cast<int32_t>(-next)});
    a_.store(ALCOVE_TRANSLATED(page), kWord);
    links_.push_back({a_.jump(), next});
  } else {
    look_up_jump(false);
  }
}

// The target of an indirect branch, into RBP.
void BlockEmitter::indirect_target(const Insn& insn) {
  if (insn.is_register) {
    const HostRegister from = host_or_load(insn.rm, kAddress);
    a_.move(kAddress, from);
    return;
  }
  const HostMemory operand = memory_operand(insn, 8, false);
  note_access();
  a_.load(kAddress, operand);
}

void BlockEmitter::call_indirect(const Insn& insn) {
  if (insn.operand_size != 8) return by_handler(insn);
  indirect_target(insn);
  // Whether the target is canonical must be known before anything is pushed. If it is not found here, the
  // interpreter makes the call.
  const bool user = block().mode.user;
  const JumpLookup jumps(user);
  const Assembler::Fixup known = jumps.find(a_);
  a_.call(common_.find_place[user]);
  const Assembler::Fixup found = a_.jump_rcx_zero();
  swap_out();
  branches_.push_back({a_.lea_rip(kWord), part().block, &insn_at(current_)});
  a_.jump(common_.leave);
  a_.bind(known);
  a_.bind(found);
  a_.store(ALCOVE_TRANSLATED(saved), kAddress);
  clobber_both();
  push_return_address(insn);
  if (!knows_returns()) a_.push(kAddress);
  a_.load(kAddress, ALCOVE_TRANSLATED(saved));
  swap_out();
  poll_far(!knows_returns());
  a_.call_memory(jumps.found(a_));
  return_site(insn);
}

void BlockEmitter::jump_indirect(const Insn& insn) {
  if (insn.operand_size != 8) return by_handler(insn);
  indirect_target(insn);
  go_far(true, true);
}

void BlockEmitter::near_return(const Insn& insn) {
  if (insn.operand_size != 8) return by_handler(insn);
  const HostMemory operand = frame_operand(rsp, 0, false);
  note_access();
  a_.load(kAddress, operand);
  a_.lea(kGuestRsp, {.base = kGuestRsp, .displacement = static_cast<int32_t>(8 + insn.immediate)});
  swap_out();
  // Only needed if the way there is not found.
  branches_.push_back({a_.lea_rip(kWord), part().block, &insn});
  a_.store(ALCOVE_TRANSLATED(return_site), kWord);
  a_.return_near();
}

}  // namespace alcove::cpu::soft
