#include "cpu/soft/mmu/physical.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "cpu/soft/mmu/page_watch.h"
#include "memory/large_pages.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kSmallPages = memory::kLargePageSize / memory::kPageSize;

// Behind the states of so many pages: for each large page whether the host was asked for it.
std::atomic<bool>& expected(PageState* states, uint64_t pages, uint64_t page) {
  return reinterpret_cast<std::atomic<bool>*>(states + pages)[page / kSmallPages];
}

// Of a region: large pages, unless it is small.
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

PhysicalMemory::Page PhysicalMemory::page(uint64_t address) const {
  for (const Range& range : ranges_) {
    if (address >= range.begin && address < range.end) {
      const uint64_t number = (address - range.begin) / memory::kPageSize;
      std::atomic<bool>& known =
          expected(range.states, (range.end - range.begin) / memory::kPageSize, number);
      if (!known.load(std::memory_order_relaxed) && !known.exchange(true, std::memory_order_relaxed))
          [[unlikely]]
        begin_use(range, number);
      return {range.host + number * memory::kPageSize, range.states + number, range.read_only};
    }
  }
  for (const Shown& shown : windows_) {
    const uint64_t offset = address - shown.window->address();
    if (offset >= shown.window->size()) continue;
    const uint64_t number = offset / memory::kPageSize;
    return {shown.window->host() + number * memory::kPageSize, shown.states + number, false};
  }
  return {};
}

// Guests take memory into use from one end or the other: where this page continues a run, the next of it are
// made ready.
void PhysicalMemory::begin_use(const Range& range, uint64_t page) const {
  constexpr uint64_t kAhead = 2;
  const uint64_t pages = (range.end - range.begin) / memory::kPageSize, count = pages / kSmallPages;
  const uint64_t large = page / kSmallPages;
  const auto host = [&](uint64_t number) { return range.host + number * memory::kLargePageSize; };
  const auto known = [&](uint64_t number) {
    return number < count &&
           expected(range.states, pages, number * kSmallPages).load(std::memory_order_relaxed);
  };
  if (large >= count || reinterpret_cast<uintptr_t>(range.host) % memory::kLargePageSize != 0) return;
  populator_.claim(host(large));
  memory::provide_large_page(host(large));
  for (uint64_t i = 1; known(large - 1) && i <= kAhead && large + i < count && !known(large + i); ++i)
    populator_.ask(host(large + i));
  for (uint64_t i = 1; known(large + 1) && i <= kAhead && i <= large && !known(large - i); ++i)
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
    if (const Page target = page(guest_address); target.state) after_write(*target.state, offset, part);
    guest_address += part;
    size -= part;
  }
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
