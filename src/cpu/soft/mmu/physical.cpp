#include "cpu/soft/mmu/physical.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "cpu/soft/mmu/page_watch.h"
#include "memory/large_pages.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kSmallPages = memory::kLargePageSize / memory::kPageSize;

// Of a region, with a byte for each large page behind them: large pages, unless it is small.
size_t states_size(uint64_t region_size) {
  const size_t pages = region_size / memory::kPageSize;
  const size_t size = pages * sizeof(PageState) + pages / kSmallPages + 1;
  if (size < memory::kLargePageSize / 4) return size;
  return (size + memory::kLargePageSize - 1) / memory::kLargePageSize * memory::kLargePageSize;
}

}  // namespace

void PageState::lock() {
  while (bits.fetch_or(kLocked, std::memory_order_acquire) & kLocked) {
    while (bits.load(std::memory_order_relaxed) & kLocked) __builtin_ia32_pause();
  }
}

PhysicalMemory::PhysicalMemory(memory::GuestMemory& memory, IoHandler& io, memory::Populator& populator)
    : memory_(memory), io_(io), populator_(populator) {
  for (const memory::Region& region : memory.regions()) {
    ranges_.push_back({region.guest_address, region.guest_address + region.size, region.host,
                       make_states(region.size), region.read_only});
  }
  for (const auto& window : memory.windows()) windows_.push_back({window.get(), make_states(window->size())});
}

PhysicalMemory::~PhysicalMemory() {
  for (const Range& range : ranges_) munmap(range.states, states_size(range.end - range.begin));
  for (const Shown& shown : windows_) munmap(shown.states, states_size(shown.window->size()));
}

PageState* PhysicalMemory::make_states(uint64_t of) {
  // Anonymous memory reads as zero and costs nothing before it is written.
  const size_t size = states_size(of);
  void* const states =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (states == MAP_FAILED) std::abort();
  madvise(states, size, MADV_HUGEPAGE);
  return static_cast<PageState*>(states);
}

std::atomic<PhysicalMemory::Use>& PhysicalMemory::use_of(const Range& range, uint64_t page) {
  PageState* const end = range.states + (range.end - range.begin) / memory::kPageSize;
  return reinterpret_cast<std::atomic<Use>*>(end)[page / kSmallPages];
}

const PhysicalMemory::Range* PhysicalMemory::range_of(uint64_t address) const {
  for (const Range& range : ranges_)
    if (address >= range.begin && address < range.end) return &range;
  return nullptr;
}

PhysicalMemory::Page PhysicalMemory::page(uint64_t address) const {
  const Range* const range = range_of(address);
  if (!range) return page_in_window(address);
  const uint64_t number = (address - range->begin) / memory::kPageSize;
  const Use use = use_of(*range, number).load(std::memory_order_relaxed);
  if (use == Use::none || use == Use::given_back) [[unlikely]]
    begin_use(*range, number);
  return page_in(*range, number);
}

PhysicalMemory::Page PhysicalMemory::look_up(uint64_t address) const {
  const Range* const range = range_of(address);
  return range ? page_in(*range, (address - range->begin) / memory::kPageSize) : page_in_window(address);
}

PhysicalMemory::Page PhysicalMemory::page_in_window(uint64_t address) const {
  for (const Shown& shown : windows_) {
    const uint64_t offset = address - shown.window->address();
    if (offset >= shown.window->size()) continue;
    const uint64_t number = offset / memory::kPageSize;
    return {shown.window->host() + number * memory::kPageSize, shown.states + number, false};
  }
  return {};
}

bool PhysicalMemory::has_holes(uint64_t address) const {
  const Range* const range = range_of(address);
  if (!range) return false;
  const Use use =
      use_of(*range, (address - range->begin) / memory::kPageSize).load(std::memory_order_relaxed);
  return use == Use::holes || use == Use::given_back;
}

// Guests take memory into use from one end or the other: where this page continues a run, the next of it are
// made ready, unless the guest has given them back.
void PhysicalMemory::begin_use(const Range& range, uint64_t page) const {
  constexpr uint64_t kAhead = 2;
  const uint64_t count = (range.end - range.begin) / memory::kLargePageSize, large = page / kSmallPages;
  const Use before = use_of(range, page).exchange(Use::all, std::memory_order_relaxed);
  if (before == Use::all) return;
  const auto host = [&](uint64_t number) { return range.host + number * memory::kLargePageSize; };
  const auto is = [&](Use use, uint64_t number) {
    return number < count && use_of(range, number * kSmallPages).load(std::memory_order_relaxed) == use;
  };
  if (large >= count || reinterpret_cast<uintptr_t>(range.host) % memory::kLargePageSize != 0) return;
  populator_.claim(host(large));
  memory::provide_large_page(host(large));
  for (uint64_t i = 1; is(Use::all, large - 1) && i <= kAhead && is(Use::none, large + i); ++i)
    populator_.ask(host(large + i));
  for (uint64_t i = 1; is(Use::all, large + 1) && i <= kAhead && i <= large && is(Use::none, large - i); ++i)
    populator_.ask(host(large - i));
}

bool PhysicalMemory::is_plain(uint64_t address, uint64_t size) const {
  if (logging()) return false;
  for (const Range& range : ranges_) {
    if (address < range.begin || address + size > range.end) continue;
    if (range.read_only) return false;
    PageState* const first = range.states + (address - range.begin) / memory::kPageSize;
    return std::none_of(first, first + size / memory::kPageSize, is_watched);
  }
  return false;
}

bool PhysicalMemory::is_ram(uint64_t address, uint64_t size) const {
  return std::ranges::any_of(ranges_, [&](const Range& range) {
    return address >= range.begin && address + size <= range.end && !range.read_only;
  });
}

bool PhysicalMemory::after_write(PageState& state, uint64_t offset, uint64_t size) {
  // Orders the write before the look at code_lines: whoever decodes sets the lines first, then reads the
  // bytes.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (logging() && !(state.bits.load(std::memory_order_relaxed) & PageState::kDirty))
    state.bits.fetch_or(PageState::kDirty, std::memory_order_seq_cst);
  if (!(state.code_lines.load(std::memory_order_relaxed) & PageState::lines(offset, size))) {
    note_quiet_write(state);
    return false;
  }
  invalidate_code(state);
  code_epoch_.fetch_add(1, std::memory_order_seq_cst);
  if (listener_) listener_(state);
  return true;
}

void PhysicalMemory::on_host_write(uint64_t guest_address, uint64_t size) {
  while (size != 0) {
    const uint64_t offset = guest_address % memory::kPageSize;
    const uint64_t part = std::min(size, memory::kPageSize - offset);
    if (const Page target = look_up(guest_address); target.state) after_write(*target.state, offset, part);
    guest_address += part;
    size -= part;
  }
}

void PhysicalMemory::on_discard(uint64_t guest_address, uint64_t size) {
  if (const Range* const range = range_of(guest_address)) {
    const uint64_t begin = guest_address - range->begin, end = begin + size;
    for (uint64_t at = begin; at < end;) {
      const uint64_t next = (at / memory::kLargePageSize + 1) * memory::kLargePageSize;
      const bool whole = at % memory::kLargePageSize == 0 && next <= end;
      std::atomic<Use>& use = use_of(*range, at / memory::kPageSize);
      if (whole || use.load(std::memory_order_relaxed) != Use::given_back)
        use.store(whole ? Use::given_back : Use::holes, std::memory_order_relaxed);
      at = next;
    }
  }
  on_host_write(guest_address, size);
}

bool PhysicalMemory::take_log(uint64_t guest_address, std::span<uint64_t> bitmap) {
  for (const Range& range : ranges_) {
    if (range.begin != guest_address) continue;
    const uint64_t pages = (range.end - range.begin) / memory::kPageSize;
    if (bitmap.size() != (pages + 63) / 64) return false;
    std::ranges::fill(bitmap, 0);
    for (uint64_t i = 0; i < pages; ++i) {
      std::atomic<uint32_t>& bits = range.states[i].bits;
      if (!(bits.load(std::memory_order_relaxed) & PageState::kDirty)) continue;
      bits.fetch_and(~PageState::kDirty, std::memory_order_seq_cst);
      bitmap[i / 64] |= uint64_t{1} << (i % 64);
    }
    return true;
  }
  return false;
}

}  // namespace alcove::cpu::soft
