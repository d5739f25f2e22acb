// Which arithmetic flags are live: that is, may still be read before they are replaced.
#include "cpu/soft/translator/emitter.h"
#include "cpu/soft/translator/unit.h"

namespace alcove::cpu::soft {
namespace {

bool is_usable(const Plan& plan, const Insn& insn, const BlockMode& mode) {
  if (plan.way == Way::handler) return false;
  if (plan.sse && (mode.no_fpu || mode.fpu_away || !mode.sse)) return false;
  if (plan.avx && (mode.fpu_away || !mode.avx)) return false;
  return insn.handler != nullptr;
}

// Those before something are those that it reads, and of those behind it the ones that it leaves alone.
struct Effect {
  uint16_t read = 0, kept = kArithmeticFlags;
  uint16_t before(uint16_t live) const { return static_cast<uint16_t>(read | (live & kept)); }
};

Effect effect_of(const Insn& insn, const BlockMode& mode) {
  const Plan& plan = plan_of(*insn.row);
  if (!is_usable(plan, insn, mode)) return {.read = kArithmeticFlags, .kept = 0};
  return {.read = plan.reads, .kept = static_cast<uint16_t>(kArithmeticFlags & ~killed_flags(plan, insn))};
}

Effect effect_of(Block& block) {
  Effect whole;
  for (size_t i = block.count; i-- > 0;) {
    const Effect effect = effect_of(block.instructions()[i], block.mode);
    whole = {.read = effect.before(whole.read), .kept = static_cast<uint16_t>(whole.kept & effect.kept)};
  }
  return whole;
}

}  // namespace

bool BlockEmitter::usable(const Plan& plan, const Insn& insn) const {
  return is_usable(plan, insn, block().mode);
}

void BlockEmitter::find_live_flags() {
  // What follows the unit may read all, unless it is known: it is of the same page, so if it changes this
  // code is not valid either.
  const auto live_outside = [](const Part& part, int64_t distance) -> uint16_t {
    Block* const outside = follower_at(*part.block, distance);
    return outside ? effect_of(*outside).before(kArithmeticFlags) : uint16_t{kArithmeticFlags};
  };
  for (Part& part : parts_) {
    const Effect effect = effect_of(*part.block);
    part.read = effect.read;
    part.kept = effect.kept;
    const auto [next, jump] = successors_of(*part.block);
    if (!next && !jump) part.live_end = kArithmeticFlags;
    if (next) part.next = part_at(part.page_offset(*next));
    if (jump) part.jump = part_at(part.page_offset(*jump));
    if (next && !part.next) part.live_end |= live_outside(part, *next);
    if (jump && !part.jump) part.live_end |= live_outside(part, *jump);
  }
  for (bool changes = true; changes;) {
    changes = false;
    for (size_t i = parts_.size(); i-- > 0;) {
      Part& part = parts_[i];
      const uint16_t before = part.live_begin();
      for (const auto& follower : {part.next, part.jump})
        if (follower) part.live_end |= parts_[*follower].live_begin();
      changes |= part.live_begin() != before;
    }
  }
  for (Part& part : parts_) {
    uint16_t live = part.live_end;
    part.flags_live[part.block->count] = live != 0;
    for (size_t n = part.block->count; n-- > 0;) {
      live = effect_of(part.insn(n), part.block->mode).before(live);
      part.flags_live[n] = live != 0;
    }
  }
}

}  // namespace alcove::cpu::soft
