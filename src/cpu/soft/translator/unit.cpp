#include "cpu/soft/translator/unit.h"

#include <algorithm>

#include "cpu/soft/translator/plan.h"

namespace alcove::cpu::soft {
namespace {

constexpr size_t kMaximumBlocks = 24, kMaximumInstructions = 160;

class Gatherer {
 public:
  Gatherer(const Block& first, uint8_t warm, std::vector<Block*>& blocks)
      : first_(first), warm_(warm), blocks_(blocks) {}
  // What is next in memory is placed right behind, so that it needs no jump.
  void place(Block& block) {
    blocks_.push_back(&block);
    instructions_ += block.count;
    const Successors successors = successors_of(block);
    for (const auto& distance : {successors.next, successors.jump}) {
      if (!distance) continue;
      Block* const follower = follower_at(block, *distance);
      if (follower && belongs(*follower)) place(*follower);
    }
  }

 private:
  bool belongs(const Block& block) const {
    return block.mode == first_.mode && !block.lone && !block.translation && block.heat >= warm_ &&
           block.heat != Block::kCold && blocks_.size() < kMaximumBlocks &&
           instructions_ + block.count <= kMaximumInstructions &&
           std::ranges::find(blocks_, &block) == blocks_.end();
  }

  const Block& first_;
  const uint8_t warm_;
  std::vector<Block*>& blocks_;
  size_t instructions_ = 0;
};

}  // namespace

Successors successors_of(Block& block) {
  const Insn& last = block.instructions()[block.count - 1u];
  switch (plan_of(*last.row).way) {
    case Way::jump_if:
    case Way::jump_if_counted:
      return {.next = block.length, .jump = last.displacement};
    case Way::jump_relative:
      return {.next = {}, .jump = last.displacement};
    default:
      if (!goes_on(last)) return {};
      return {.next = block.length, .jump = {}};
  }
}

Block* follower_at(const Block& block, int64_t distance) {
  for (size_t i = 0; i < block.distances.size(); ++i) {
    if (block.distances[i] != distance) continue;
    Block* follower = block.followers[i];
    if (follower->moved) follower = follower->next_in_bucket;
    return follower->generation == block.generation && follower->state == block.state ? follower : nullptr;
  }
  return nullptr;
}

void gather_unit(Block& first, uint8_t warm, std::vector<Block*>& blocks) {
  blocks.clear();
  Gatherer(first, warm, blocks).place(first);
}

}  // namespace alcove::cpu::soft
