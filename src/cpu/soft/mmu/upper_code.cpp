#include "cpu/soft/mmu/upper_code.h"

#include <array>
#include <optional>

namespace alcove::cpu::soft {
namespace {

// Kernels have most of their code in a few large pages.
class Walker {
 public:
  Walker(const PhysicalMemory& memory, const PagingMode& mode) : memory_(memory), mode_(mode) {}

  // Where supervisors run what is there.
  std::optional<uint64_t> find(uint64_t page) {
    const uint64_t number = page >> 21;
    Large& large = large_[number % large_.size()];
    if (large.number != number) {
      const std::optional<TablePath> path = find_path(memory_, mode_, page);
      if (!path || !path->may_be_run_by_supervisors()) return {};
      if (path->page_size() == 4096) return path->physical();
      large = {.number = number,
               .physical = path->physical() + (page & (path->page_size() - 1) & ~uint64_t{kLargeMask})};
    }
    return large.physical + (page & kLargeMask);
  }

 private:
  static constexpr uint64_t kLargeMask = (2 << 20) - 1;
  struct Large {  // Of 2 MiB, in the same page.
    uint64_t number = ~uint64_t{0}, physical = 0;
  };

  const PhysicalMemory& memory_;
  const PagingMode& mode_;
  std::array<Large, 16> large_{};
};

}  // namespace

const std::vector<uint64_t>& UpperCode::take_moved(const PhysicalMemory& memory, const PagingMode& mode) {
  moved_.clear();
  Walker walker(memory, mode);
  for (const auto& [page, physical] : pages_)
    if (walker.find(page) != physical) moved_.push_back(page);
  for (const uint64_t page : moved_) pages_.erase(page);
  return moved_;
}

}  // namespace alcove::cpu::soft
