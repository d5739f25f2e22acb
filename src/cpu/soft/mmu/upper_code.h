// Which pages of the upper half hold code that jumps lead to, and where these were in physical memory. A
// guest that has all of its TLB flushed has hardly ever moved them: only those that it has moved are
// forgotten then.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "cpu/soft/mmu/walk.h"

namespace alcove::cpu::soft {

class UpperCode {
 public:
  // Of an address within the page.
  void note(uint64_t linear, uint64_t physical) { pages_[linear & kPage] = physical & kPage; }
  // Where the page is, is not known.
  void note_unknown(uint64_t linear) { pages_[linear & kPage] = kUnknown; }

  // The pages that supervisors find elsewhere now, or may not run any more, or that this can't tell of. They
  // are forgotten.
  const std::vector<uint64_t>& take_moved(const PhysicalMemory& memory, const PagingMode& mode);
  void forget(uint64_t linear) { pages_.erase(linear & kPage); }
  void clear() { pages_.clear(); }
  size_t size() const { return pages_.size(); }

 private:
  static constexpr uint64_t kPage = ~uint64_t{0xfff}, kUnknown = 1;

  std::unordered_map<uint64_t, uint64_t> pages_;
  std::vector<uint64_t> moved_;
};

}  // namespace alcove::cpu::soft
