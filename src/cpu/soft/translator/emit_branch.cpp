// Where a block leads: to others of its page by jumps that are patched once these are translated, to all
// others through the jump cache.
#include "cpu/soft/translator/emitter.h"

namespace alcove::cpu::soft {
namespace {

constexpr HostOpcode kMovzx{.opcode = 0xb7, .map = 1};

static_assert(FlatMap::kLowerJumps == Window::kJumps);

}  // namespace

void BlockEmitter::set_target(int64_t page_offset) {
  a_.load(kAddress, ALCOVE_TRANSLATED(page));
  if (page_offset == static_cast<int32_t>(page_offset)) {
    a_.lea(kAddress, {.base = kAddress, .displacement = static_cast<int32_t>(page_offset)});
  } else {
    a_.move_immediate(kWord, static_cast<uint64_t>(page_offset));
    a_.lea(kAddress, {.base = kAddress, .index = kWord});
  }
}

// Something wants attention: Cpu::attention is not 0. Flags stay as they are. Whatever may lead back asks,
// calls too: loops can be made of those alone.
void BlockEmitter::go_to(int64_t page_offset, bool poll) {
  const bool near = page_offset >= 0 && page_offset < 4096;
  if (!near) {
    set_target(page_offset);
    go_far(poll);
    return;
  }
  if (!swaps_out_) swap_out();
  if (poll) {
    a_.load32(kWord, ALCOVE_CPU_MEMBER(attention));
    const Assembler::Fixup calm = a_.jump_rcx_zero();
    polls_.push_back({a_.jump(), page_offset, false, false});
    a_.bind(calm);
  }
  links_.push_back({a_.jump(), page_offset});
}

// To the linear address in RBP.
void BlockEmitter::go_far(bool poll, bool indirect) {
  if (!swaps_out_) swap_out();
  if (poll) poll_far();
  look_up_jump(indirect, false);
  jump_far();
}

// The linear address in RBP is where to go on if something wants attention.
void BlockEmitter::poll_far() {
  a_.load32(kWord, ALCOVE_CPU_MEMBER(attention));
  const Assembler::Fixup calm = a_.jump_rcx_zero();
  polls_.push_back({a_.jump(), 0, true, false});
  a_.bind(calm);
}

// Leaves unless the jump cache knows the linear address in RBP.
void BlockEmitter::look_up_jump(bool indirect, bool swapped) {
  const int32_t tags = block_.mode.user ? FlatMap::kLowerJumps : FlatMap::kUpperJumps;
  a_.op(kMovzx, kWord, kAddress);
  a_.load(kWord, {.index = kWord, .scale = 3, .displacement = tags, .gs = true});
  a_.lea(kWord, {.base = kWord, .index = kAddress});
  const Assembler::Fixup found = a_.jump_rcx_zero();
  if (swapped) swap_out();
  if (indirect)
    branches_.push_back({a_.lea_rip(kWord), current_});
  else
    a_.move_immediate(kWord, kFarMiss);
  a_.jump(common_.leave);
  a_.bind(found);
}

// Where look_up_jump() has found the way to.
void BlockEmitter::jump_far() {
  const int32_t codes = JumpCache::kCodes + (block_.mode.user ? FlatMap::kLowerJumps : FlatMap::kUpperJumps);
  a_.op(kMovzx, kWord, kAddress);
  a_.jump_memory({.index = kWord, .scale = 3, .displacement = codes, .gs = true});
}

void BlockEmitter::fall_through() {
  go_to(page_offset(block_.length), false);
}

// Back to the block's own beginning.
void BlockEmitter::loop_back() {
  if (flags_live_[0]) {
    a_.load32(kWord, ALCOVE_CPU_MEMBER(attention));
    const Assembler::Fixup calm = a_.jump_rcx_zero();
    polls_.push_back({a_.jump(), page_offset(0), false, true});
    a_.bind(calm);
    a_.jump_back(loop_entry_);
    return;
  }
  a_.op({.opcode = 0x83}, 7, ALCOVE_CPU_MEMBER(attention));  // CMP
  a_.byte(0);
  a_.bind(a_.jump_if(kHostEqual), loop_entry_);
  polls_.push_back({a_.jump(), page_offset(0), false, true});
}

void BlockEmitter::jump_if(const Insn& insn) {
  const uint8_t condition = insn.opcode & 15;
  if (loops()) {
    const Assembler::Fixup leaves = a_.jump_if(condition ^ 1);
    loop_back();
    a_.bind(leaves);
    fall_through();
    return;
  }
  swap_out();
  swaps_out_ = true;
  const int64_t taken = page_offset(insn.displacement);
  const bool near = taken >= 0 && taken < 4096;
  if (near && insn.displacement > insn.offset) {
    links_.push_back({a_.jump_if(condition), taken});
    fall_through();
    return;
  }
  const Assembler::Fixup not_taken = a_.jump_if(condition ^ 1);
  go_to(taken, insn.displacement <= insn.offset);
  a_.bind(not_taken);
  fall_through();
}

void BlockEmitter::call_relative(const Insn& insn) {
  push_return_address(insn);
  go_to(page_offset(insn.displacement), insn.displacement <= insn.offset);
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
  look_up_jump(true, true);
  a_.store(ALCOVE_TRANSLATED(saved), kAddress);
  clobber_both();
  push_return_address(insn);
  a_.load(kAddress, ALCOVE_TRANSLATED(saved));
  swap_out();
  poll_far();
  jump_far();
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
  go_far(true, true);
}

}  // namespace alcove::cpu::soft
