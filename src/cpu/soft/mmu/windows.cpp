#include "cpu/soft/mmu/windows.h"

#include <x86intrin.h>

#include <algorithm>

#include "cpu/soft/mmu/table_entry.h"
#include "cpu/soft/mmu/walk.h"

namespace alcove::cpu::soft {
namespace {

// In ticks of the TSC, of which a host has two to four in a nanosecond.

// Of a missing page. The time that it really takes counts as the program's own, a quarter of which pays for
// misses: were this less than that quarter, where page faults are slow, no number of them would close a
// window.
constexpr uint64_t kMissCost = 60'000;
constexpr uint64_t kGrace = 1000 * kMissCost;  // For misses in the beginning.
// Of forgetting all pages, which are soon missed: processes that fork or unmap much do that often.
constexpr uint64_t kFlushCost = 10'000'000;
// Long enough for more misses than are excused in the beginning.
constexpr uint64_t kMemory = 1'000'000'000;
// A program that has lost windows for long gets the next after half of its time, at most.
constexpr uint64_t kLargestThreshold = 64'000'000'000;

}  // namespace

void Windows::select(const PagingMode& mode, uint64_t generation) {
  const uint64_t root = mode.cr3 & table_entry::kAddress;
  if (root == root_ && generation != generation_ && !current_) {
    Candidate& flushed = candidate(root);
    flushed.ticks -= std::min(flushed.ticks, kFlushCost);
  }
  root_ = root;
  generation_ = generation;
  const auto it = std::ranges::find(owned_, root, [](const auto& owned) { return owned->root; });
  current_ = it == owned_.end() ? nullptr : it->get();
  if (!current_) return;
  current_->last_used = ++uses_;
  if (current_->generation == generation) return;
  // Nobody watches what was no table when the window was opened.
  if (table_of(mode) != current_->table) return close(*current_);
  current_->generation = generation;
  const uint64_t begin = __rdtsc();
  current_->window->flush(mode);
  current_->misses += (__rdtsc() - begin) / kMissCost;
}

const PageState* Windows::table_of(const PagingMode& mode) const {
  return first_table(memory_, mode) ? memory_.page(mode.cr3 & table_entry::kAddress).state : nullptr;
}

Windows::Candidate& Windows::candidate(uint64_t root) {
  auto it = std::ranges::find(candidates_, root, &Candidate::root);
  if (it == candidates_.end()) {
    it = std::ranges::min_element(candidates_, {}, &Candidate::last_used);
    *it = {.root = root, .threshold = first_threshold_};
  }
  it->last_used = ++uses_;
  return *it;
}

bool Windows::ran(uint64_t ticks) {
  if (current_) {
    current_->ticks += ticks;
    // What was long ago does not count.
    if (current_->ticks > kMemory) {
      current_->ticks /= 2;
      current_->misses /= 2;
    }
    return false;
  }
  Candidate& runner = candidate(root_);
  runner.ticks += ticks;
  if (runner.ticks <= runner.threshold) return false;
  runner.ticks = 0;
  return true;
}

Windows::Owned* Windows::to_give() {
  const auto unused = std::ranges::find(owned_, kNobody, [](const auto& owned) { return owned->root; });
  if (unused != owned_.end()) return unused->get();
  if (auto window = owned_.size() < kMaximum ? Window::create(cpu_, memory_) : nullptr) {
    owned_.push_back(std::make_unique<Owned>());
    owned_.back()->number = static_cast<unsigned>(owned_.size());
    owned_.back()->window = std::move(window);
    return owned_.back().get();
  }
  if (owned_.empty()) return nullptr;
  return std::ranges::min_element(owned_, {}, [](const auto& owned) { return owned->last_used; })->get();
}

bool Windows::open(const PagingMode& mode, std::span<const Window::Page> pages) {
  Owned* const owned = to_give();
  if (!owned) return false;
  owned->window->clear();
  owned->root = root_;
  owned->table = table_of(mode);
  owned->generation = generation_;
  owned->last_used = ++uses_;
  owned->ticks = owned->misses = 0;
  current_ = owned;
  owned->window->show(mode, pages);
  // The processor's TLB may have what the tables have no more.
  if (owned->table) owned->window->flush(mode);
  return true;
}

bool Windows::missed() {
  if (++current_->misses * kMissCost <= kGrace + current_->ticks / 4) return true;
  Candidate& loser = candidate(root_);
  loser.ticks = 0;
  loser.threshold = std::min(2 * loser.threshold, kLargestThreshold);
  close(*current_);
  return false;
}

void Windows::close(Owned& owned) {
  owned.window->clear();
  owned.root = kNobody;
  if (current_ == &owned) current_ = nullptr;
}

bool Windows::table_changed(const PageState* page) {
  const Owned* const before = current_;
  for (const auto& owned : owned_)
    if (owned->root != kNobody && (!page || owned->table == page)) close(*owned);
  return current_ != before;
}

void Windows::forbid_writes(const std::byte* host_page) {
  for (const auto& owned : owned_) owned->window->forbid_writes(host_page);
}

void Windows::forget_all_pages() {
  for (const auto& owned : owned_) owned->window->clear();
}

void Windows::remove_jumps(uint64_t offset, const uint8_t* code, std::optional<uint64_t> page) {
  for (const auto& owned : owned_) {
    owned->window->jumps().remove(offset, code);
    if (page) owned->window->jumps().direct().cut(*page);
  }
}

void Windows::clear_jumps() {
  for (const auto& owned : owned_) owned->window->jumps().clear();
}

void Windows::release() {
  clear_jumps();
  current_ = nullptr;
  owned_.clear();
}

}  // namespace alcove::cpu::soft
