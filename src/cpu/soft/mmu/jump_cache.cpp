#include "cpu/soft/mmu/jump_cache.h"

#include <algorithm>

namespace alcove::cpu::soft {

void JumpCache::add(uint64_t address, const uint8_t* code) {
  const size_t index = address % count_;
  tags_[index] = -address;
  tags_[count_ + index] = reinterpret_cast<uint64_t>(code);
  if (log_.size() <= kLogLimit) log_.push_back(static_cast<uint32_t>(index));
}

void JumpCache::remove(uint64_t offset, const uint8_t* code) {
  returns_.clear();
  if (empty()) return;
  for (size_t index = offset; index < count_; index += 4096) {
    uint64_t& tag = tags_[index];
    if (tag != none(index) && tags_[count_ + index] == reinterpret_cast<uint64_t>(code)) tag = none(index);
  }
}

void JumpCache::clear_page(uint64_t page) {
  constexpr uint64_t kPage = 4096, kCrossing = 16;
  returns_.clear_range(page - kCrossing, kPage + kCrossing);
  // The one before may end with an instruction of both.
  direct_.cut(page);
  direct_.cut(page - kPage);
  if (empty()) return;
  for (uint64_t address = page - kCrossing; address != page + kPage; ++address) {
    const size_t index = address % count_;
    if (tags_[index] == -address) tags_[index] = none(index);
  }
}

void JumpCache::clear() {
  returns_.clear();
  direct_.cut_all();
  if (log_.size() <= kLogLimit) {
    for (const uint32_t index : log_) tags_[index] = 0;
  } else {
    std::fill_n(tags_, count_, 0);
  }
  log_.clear();
  tags_[0] = none(0);
}

void JumpCache::renew() {
  returns_.clear();
  direct_.cut_all();
  log_.clear();
  tags_[0] = none(0);
}

}  // namespace alcove::cpu::soft
