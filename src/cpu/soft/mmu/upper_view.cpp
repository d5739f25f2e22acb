#include "cpu/soft/mmu/upper_view.h"

#include <sys/mman.h>
#include <x86intrin.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <span>

#include "cpu/soft/mmu/physical.h"
#include "cpu/soft/mmu/table_entry.h"

namespace alcove::cpu::soft {
namespace {

constexpr unsigned kViews = 2;
constexpr uint64_t origin(unsigned number) {
  return UpperView::kSize << number;
}
// All that addresses can lead to, and what displacements reach from there. Hosts keep the first 64 KiB empty.
constexpr uint64_t kBegin = 1 << 16;
constexpr uint64_t kEnd = origin(kViews - 1) + UpperView::kSize + UpperView::kReach + memory::kPageSize;

bool reserve() {
  constexpr int kNew = 0x100000;  // MAP_FIXED_NOREPLACE
  void* const wanted = reinterpret_cast<void*>(kBegin);
  constexpr size_t kAll = kEnd - kBegin;
  void* const memory =
      mmap(wanted, kAll, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | kNew, -1, 0);
  if (memory == MAP_FAILED) return false;
  if (memory == wanted) {
    madvise(memory, kAll, MADV_DONTDUMP);
    return true;
  }
  munmap(memory, kAll);
  return false;
}

constexpr uint64_t kPage = memory::kPageSize, kLarge = PageView::kLargeSize;

// In ticks of the TSC: how much it may take in the beginning, and for how long that counts in full.
constexpr uint64_t kGrace = 1'000'000'000, kMemory = 20'000'000'000;

std::atomic<unsigned> taken{0};  // A bit for each view.

// Adds the time that it is there to a sum, but not much of what others use the host's processor for.
class Cost {
 public:
  static constexpr uint64_t kMost = 1'000'000;
  explicit Cost(uint64_t& sum) : sum_(sum), begin_(__rdtsc()) {}
  ~Cost() { sum_ += std::min<uint64_t>(__rdtsc() - begin_, kMost); }
  Cost(const Cost&) = delete;
  Cost& operator=(const Cost&) = delete;

 private:
  uint64_t& sum_;
  uint64_t begin_;
};

uint64_t region_number(uint64_t address) {
  return address / kLarge;
}

}  // namespace

std::unique_ptr<UpperView> UpperView::create(const PhysicalMemory& physical,
                                             const memory::GuestMemory& memory) {
  static const bool reserved = reserve();
  if (!reserved) return nullptr;
  for (unsigned number = 0; number < kViews; ++number)
    if (!(taken.fetch_or(1u << number) & 1u << number))
      return std::unique_ptr<UpperView>(new UpperView(number, physical, memory));
  return nullptr;
}

UpperView::UpperView(unsigned number, const PhysicalMemory& physical, const memory::GuestMemory& memory)
    : number_(number), physical_(physical), pages_(origin(number), kSize, memory), begin_(__rdtsc()) {}

UpperView::~UpperView() {
  clear();
  taken.fetch_and(~(1u << number_));
}

uint64_t UpperView::mask() const {
  return (kSize - 1) | uint64_t{1} << 63;
}

uint64_t UpperView::place_mask() const {
  return number_ == 0 ? 0 : (kSize - 1) | origin(number_);
}

bool UpperView::claim_part(uint64_t address) {
  uint8_t& claim = claims_[(address & (kSize - 1)) / kClaim];
  const auto who = static_cast<uint8_t>((address >> std::countr_zero(kSize) & 0x1f) + 1);
  const bool is_new = claim == 0;
  if (is_new) claim = who;
  collided_ |= claim != who;
  return is_new;
}

bool UpperView::claim(const PagingMode& mode, uint64_t address) {
  if (claim_part(address)) claim_used(mode);
  return !collided_;
}

void UpperView::claim_used(const PagingMode& mode) {
  const uint64_t* const root = first_table(physical_, mode);
  has_changed_ = false;
  const auto for_each_used = [](const uint64_t* entries, size_t first, auto&& callback) {
    for (size_t i = first; i < 512; ++i)
      if (const uint64_t entry = __atomic_load_n(entries + i, __ATOMIC_RELAXED);
          entry & table_entry::kPresent)
        callback(i, entry & table_entry::kAddress);
  };
  if (!root) return;
  for_each_used(root, kHalf, [&](uint64_t i, uint64_t address) {
    const PhysicalMemory::Page page = physical_.page(address);
    const auto* const table = reinterpret_cast<const uint64_t*>(page.host);
    if (!table) return;
    has_unwatched_ |= tables_.try_emplace(page.state, Table{.address = address}).second;
    collided_ |= tables_.size() > kMostTables;
    for_each_used(table, 0, [&](uint64_t j, uint64_t) { claim_part(i << 39 | j << 30); });
  });
}

bool UpperView::see_root(const PagingMode& mode) {
  const uint64_t* const root = first_table(physical_, mode);
  if (!root) return true;
  for (size_t i = 0; i < roots_.size(); ++i) {
    if (std::memcmp(roots_[i].data(), root + kHalf, sizeof roots_[i]) != 0) continue;
    if (i != 0) std::swap(roots_[i], roots_[i - 1]);
    return true;
  }
  std::memcpy(roots_.back().data(), root + kHalf, sizeof roots_.back());
  claim_used(mode);
  return false;
}

std::vector<uint64_t> UpperView::take_unwatched_tables() {
  std::vector<uint64_t> taken;
  for (auto& [state, table] : tables_)
    if (!std::exchange(table.is_watched, true)) taken.push_back(table.address);
  has_unwatched_ = false;
  return taken;
}

void UpperView::table_changed(const PageState* page) {
  if (page && tables_.erase(page) == 0) return;
  if (!page) tables_.clear();
  // All that lead to it are to be looked at again.
  roots_ = {};
  has_changed_ = true;
}

bool UpperView::pays() {
  const uint64_t now = __rdtsc(), elapsed = now - begin_;
  if (collided_ || cost_ > kGrace + elapsed / 16) return false;
  if (elapsed > kMemory) {
    begin_ = now - elapsed / 2;
    cost_ /= 2;
  }
  return true;
}

std::byte* UpperView::find(uint64_t address, const std::byte* host) const {
  const uint64_t page = address & ~(kPage - 1);
  return pages_.has(page, host) ? reinterpret_cast<std::byte*>(pages_.place(page)) : nullptr;
}

UpperView::Region& UpperView::region_of(const TablePath& path, uint64_t address) {
  Region& region = regions_[region_number(address)];
  const auto value = &TablePath::Entry::value;
  const auto above = [](const TablePath& all) {
    return std::span(all.entries).first(std::min(all.count, 3u));
  };
  if (region.path.count != path.count ||
      !std::ranges::equal(above(path), above(region.path), {}, value, value))
    forget(region);
  region.address = address & ~(kLarge - 1);
  region.path = path;
  region.is_gone = false;
  return region;
}

// Those in one line of the table with its own, and those in a row with it in physical memory, too.
void UpperView::gather(const TablePath& path, const PagingMode& mode, uint64_t address) {
  gathered_.clear();
  const uint64_t first = address & ~(kLarge - 1);
  const auto index = static_cast<unsigned>(address >> 12 & 0x1ff);
  const uint64_t physical = path.physical() - index * kPage;
  const auto follows = [&](unsigned i) {
    const auto entry = beside(path, mode, i);
    return entry && physical_of(*entry) == physical + i * kPage;
  };
  unsigned begin = index, end = index + 1;
  while (begin > 0 && follows(begin - 1)) --begin;
  while (end < kLarge / kPage && follows(end)) ++end;
  begin = std::min(begin, index & ~7u);
  end = std::max(end, (index | 7) + 1);
  for (unsigned i = begin; i < end; ++i)
    if (const auto entry = beside(path, mode, i); entry && physical_.is_ram(physical_of(*entry), kPage))
      gathered_.push_back({first + i * kPage, *entry});
}

std::byte* UpperView::show(const PagingMode& mode, uint64_t address, const std::byte* host) {
  // Other addresses' displacements reach there.
  if ((address & (kSize - 1)) < kReach + kLarge) return nullptr;
  const uint64_t page = address & ~(kPage - 1);
  if (std::byte* const there = find(page, host)) return there;
  const Cost cost(cost_);
  const auto path = find_path(physical_, mode, page);
  if (!path || !claim(mode, page)) return nullptr;
  const uint64_t physical = path->physical() + (page & (path->page_size() - 1));
  // The processor's own TLB may have what the tables had before.
  if (!physical_.is_ram(physical, kPage) || physical_.page(physical).host != host) return nullptr;
  if (mode.efer != efer_ || pages_.is_empty()) clear();
  efer_ = mode.efer;
  Region& region = region_of(*path, page);
  if (!region.is_large()) gather(*path, mode, page);
  const bool done = region.is_large() ? show_large(region, page, host) : show_gathered(region);
  ++times_shown_;
  if (!region.is_noted && (region.is_large() ? !is_global(path->leaf()) : !region.local.empty())) {
    region.is_noted = true;
    local_.push_back(&region);
  }
  if (!done) clear();
  return find(page, host);
}

bool UpperView::show_large(const Region& region, uint64_t address, const std::byte* host) {
  has_huge_ |= region.path.count < 3;
  const uint64_t physical = region.path.physical() + (region.address & (region.path.page_size() - 1));
  const uint64_t size = physical_.is_ram(physical, kLarge) ? kLarge : kPage;
  return pages_.map({.address = address,
                     .host = host,
                     .writable = true,
                     .size = size,
                     .populate = !physical_.has_holes(physical)});
}

bool UpperView::show_gathered(Region& region) {
  shown_.clear();
  for (const Part& part : gathered_) {
    const uint64_t physical = physical_of(part.entry);
    const std::byte* const host = physical_.page_beside(physical).host;
    if (pages_.has(part.address, host)) continue;
    // Whatever is known of the page is not of now.
    for (auto* const parts : {&region.global, &region.local})
      displaced_ |=
          std::erase_if(*parts, [&](const Part& former) { return former.address == part.address; }) > 0;
    (is_global(part.entry) ? region.global : region.local).push_back(part);
    shown_.push_back({.address = part.address,
                      .host = host,
                      .writable = true,
                      .size = kPage,
                      .populate = !physical_.has_holes(physical)});
  }
  return pages_.map(shown_);
}

bool UpperView::holds(const Region& region, const uint64_t* table) {
  const std::span<const TablePath::Entry> entries(region.path.entries);
  const TablePath::Entry first{.host = table + (region.address >> 39 & 0x1ff), .value = entries[0].value};
  return first.holds() && std::ranges::all_of(entries.subspan(1, std::min(region.path.count, 3u) - 1),
                                              &TablePath::Entry::holds);
}

void UpperView::check(std::vector<Part>& parts) {
  std::erase_if(parts, [this](const Part& part) {
    if (part.entry.holds()) return false;
    gone_pages_.push_back(part.address);
    return true;
  });
}

void UpperView::check(Region& region, const uint64_t* table, bool globals) {
  if (!holds(region, table)) {
    forget(region);
  } else {
    if (globals) check(region.global);
    check(region.local);
  }
  if (!region.is_empty()) return;
  region.is_gone = true;
  gone_regions_.push_back(region_number(region.address));
}

void UpperView::forget(Region& region) {
  if (region.path.count == 0) return;
  displaced_ = true;
  pages_.forget(region.address, kLarge);
  region.path = {.entries = {}, .count = 4};
  region.global.clear();
  region.local.clear();
}

void UpperView::end_flush() {
  std::ranges::sort(gone_pages_);
  for (size_t i = 0, count; i < gone_pages_.size(); i += count) {
    for (count = 1; i + count < gone_pages_.size(); ++count)
      if (gone_pages_[i + count] != gone_pages_[i] + count * kPage) break;
    pages_.forget(gone_pages_[i], count * kPage);
  }
  displaced_ |= !gone_pages_.empty();
  gone_pages_.clear();
  if (gone_regions_.empty()) return;
  std::erase_if(local_, [](const Region* region) { return region->is_gone; });
  for (const uint64_t number : gone_regions_) regions_.erase(number);
  gone_regions_.clear();
}

void UpperView::flush(const PagingMode& mode) {
  const uint64_t* const table = first_table(physical_, mode);
  if (!table) {
    // Another kernel may come, whose addresses are elsewhere.
    claims_ = {};
    tables_.clear();
    roots_ = {};
  }
  if (regions_.empty()) return;
  const Cost cost(cost_);
  if (!table || mode.efer != efer_) return clear();
  for (auto& [number, region] : regions_) check(region, table, true);
  end_flush();
}

void UpperView::flush_non_global(const PagingMode& mode) {
  if (!has_globals(mode)) return flush(mode);
  if (local_.empty()) return;
  const Cost cost(cost_);
  const uint64_t* const table = first_table(physical_, mode);
  if (!table || mode.efer != efer_) return clear();
  for (Region* const region : local_) check(*region, table, false);
  end_flush();
}

void UpperView::flush_page(const PagingMode& mode, uint64_t address) {
  if (has_huge_) return flush(mode);
  const auto region = regions_.find(region_number(address));
  if (region == regions_.end()) return;
  const uint64_t* const table = first_table(physical_, mode);
  if (!table || mode.efer != efer_) return clear();
  check(region->second, table, true);
  end_flush();
}

void UpperView::clear() {
  pages_.clear();
  regions_.clear();
  local_.clear();
  has_huge_ = false;
  displaced_ = true;
}

}  // namespace alcove::cpu::soft
