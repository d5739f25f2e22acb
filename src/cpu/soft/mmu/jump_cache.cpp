#include "cpu/soft/mmu/jump_cache.h"

#include <algorithm>
#include <span>

namespace alcove::cpu::soft {

void JumpCache::add(uint64_t address, const uint8_t* code) {
  const size_t index = address % count_;
  tags_[index] = -address;
  tags_[count_ + index] = reinterpret_cast<uint64_t>(code);
  if (rest_.log_count < kLogLimit) rest_.log[rest_.log_count] = static_cast<uint32_t>(index);
  ++rest_.log_count;
}

void JumpCache::add_page(uint64_t address, uint64_t physical) {
  const uint64_t number = address >> 12;
  rest_.page_tags[number % kPages] = -number;
  rest_.physical_pages[number % kPages] = physical & ~uint64_t{0xfff};
}

void JumpCache::clear_pages() {
  rest_.page_tags.fill(0);
  rest_.page_tags[0] = none(0);
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
  const uint64_t number = page >> 12;
  uint64_t& page_tag = rest_.page_tags[number % kPages];
  if (page_tag == -number) page_tag = none(number % kPages);
  for (uint64_t address = page - kCrossing; address != page + kPage; ++address) {
    const size_t index = address % count_;
    if (tags_[index] == -address) tags_[index] = none(index);
  }
}

void JumpCache::clear() {
  returns_.clear();
  direct_.cut_all();
  if (empty()) return;
  if (rest_.log_count <= kLogLimit) {
    for (const uint32_t index : std::span(rest_.log).first(rest_.log_count)) tags_[index] = 0;
  } else {
    std::fill_n(tags_, count_, 0);
  }
  clear_pages();
  rest_.log_count = 0;
  tags_[0] = none(0);
}

void JumpCache::renew() {
  returns_.clear();
  direct_.cut_all();
  rest_.log_count = 0;
  clear_pages();
  tags_[0] = none(0);
}

}  // namespace alcove::cpu::soft
