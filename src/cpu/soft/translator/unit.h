// Blocks that are translated together: from one on, what it leads to by jumps within its page or by just
// ending, as far as that has been executed, too, and has no translation yet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "cpu/soft/code/block.h"

namespace alcove::cpu::soft {

// Where a block may go on within its page, as distances from its beginning: by just ending, and by a relative
// jump. Calls and returns lead elsewhere.
struct Successors {
  std::optional<int64_t> next;
  std::optional<int64_t> jump;
};
Successors successors_of(Block& block);

// The block that followed this one at that distance, if it is known and of the same bytes still.
Block* follower_at(const Block& block, int64_t distance);

// In the order in which they should lie. `warm`: how often others must have been executed.
void gather_unit(Block& first, uint8_t warm, std::vector<Block*>& blocks);

}  // namespace alcove::cpu::soft
