// Which arithmetic flags are live: that is, may still be read before they are replaced.
#include "cpu/soft/translator/emitter.h"
#include "cpu/soft/translator/unit.h"

namespace alcove::cpu::soft {
namespace {

bool is_usable(const Insn& insn, const BlockMode& mode) {
  if (plan_of(*insn.row).way == Way::handler) return false;
  if ((insn.row->flags & kSse) && (mode.no_fpu || mode.fpu_away || !mode.sse)) return false;
  if ((insn.row->flags & kAvx) && (mode.fpu_away || !mode.avx)) return false;
  return insn.handler != nullptr;
}

// Those before the instruction, given those behind it.
uint16_t live_before(const Insn& insn, const BlockMode& mode, uint16_t live) {
  if (!is_usable(insn, mode)) return kArithmeticFlags;
  live &= static_cast<uint16_t>(~killed_flags(plan_of(*insn.row), insn));
  return live | insn.row->effects.read;
}

uint16_t live_at_beginning(Block& block, uint16_t live) {
  for (size_t i = block.count; i-- > 0;) live = live_before(block.instructions()[i], block.mode, live);
  return live;
}

}  // namespace

bool BlockEmitter::usable(const Plan&, const Insn& insn) const {
  return is_usable(insn, block().mode);
}

void BlockEmitter::find_live_flags() {
  std::vector<uint16_t> begins(parts_.size(), 0), ends(parts_.size(), 0);
  // What follows the unit may read all, unless it is known: it is of the same page, so if it changes this
  // code is not valid either.
  const auto live_at = [&](const Part& part, int64_t distance) -> uint16_t {
    if (const auto inside = part_at(part.page_offset(distance))) return begins[*inside];
    Block* const outside = follower_at(*part.block, distance);
    return outside ? live_at_beginning(*outside, kArithmeticFlags) : uint16_t{kArithmeticFlags};
  };
  for (bool changes = true; changes;) {
    changes = false;
    for (size_t i = parts_.size(); i-- > 0;) {
      const Part& part = parts_[i];
      const auto [next, jump] = successors_of(*part.block);
      uint16_t live = next || jump ? 0 : uint16_t{kArithmeticFlags};
      if (next) live |= live_at(part, *next);
      if (jump) live |= live_at(part, *jump);
      ends[i] = live;
      live = live_at_beginning(*part.block, live);
      changes |= live != begins[i];
      begins[i] = live;
    }
  }
  for (size_t i = 0; i < parts_.size(); ++i) {
    Part& part = parts_[i];
    uint16_t live = ends[i];
    part.flags_live[part.block->count] = live != 0;
    for (size_t n = part.block->count; n-- > 0;) {
      live = live_before(part.insn(n), part.block->mode, live);
      part.flags_live[n] = live != 0;
    }
  }
}

}  // namespace alcove::cpu::soft
