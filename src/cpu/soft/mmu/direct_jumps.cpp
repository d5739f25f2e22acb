#include "cpu/soft/mmu/direct_jumps.h"

#include <cstring>

namespace alcove::cpu::soft {

void DirectJumps::add(uint64_t page, uint8_t* displacement, int32_t otherwise) {
  jumps_[page].push_back({displacement, otherwise});
}

void DirectJumps::cut(const std::vector<Jump>& jumps) {
  for (const Jump& jump : jumps) std::memcpy(jump.displacement, &jump.otherwise, sizeof jump.otherwise);
}

void DirectJumps::cut(uint64_t page) {
  if (jumps_.empty()) return;
  const auto it = jumps_.find(page);
  if (it == jumps_.end()) return;
  cut(it->second);
  jumps_.erase(it);
}

void DirectJumps::cut_all() {
  for (const auto& [page, jumps] : jumps_) cut(jumps);
  jumps_.clear();
}

}  // namespace alcove::cpu::soft
