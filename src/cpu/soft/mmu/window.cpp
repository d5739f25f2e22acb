#include "cpu/soft/mmu/window.h"

#include <sys/mman.h>

#include <atomic>
#include <bitset>

#include "cpu/soft/mmu/flat_map.h"
#include "cpu/soft/mmu/table_entry.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kPage = memory::kPageSize;
// The farthest access begins at the end of what is within reach.
constexpr size_t kReserved = Window::kOffset + Window::kSize + Window::kReach + kPage;
// Of the host's 128 TiB, beside what the FlatMaps need.
constexpr size_t kWindows = 3;
std::atomic<size_t> windows{0};

}  // namespace

std::unique_ptr<Window> Window::create(const CpuMemory& cpu, PhysicalMemory& memory) {
  if (windows.fetch_add(1) >= kWindows) {
    windows.fetch_sub(1);
    return nullptr;
  }
  void* const reserved =
      mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) {
    windows.fetch_sub(1);
    return nullptr;
  }
  const auto base = reinterpret_cast<uint64_t>(reserved);
  madvise(reserved, kReserved, MADV_DONTDUMP);
  if (mmap(reserved, CpuMemory::size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, cpu.file(), 0) ==
          MAP_FAILED ||
      mprotect(reinterpret_cast<void*>(base + kJumps), kReturns + ReturnStack::kMemory - kJumps,
               PROT_READ | PROT_WRITE) != 0) {
    munmap(reserved, kReserved);
    windows.fetch_sub(1);
    return nullptr;
  }
  return std::unique_ptr<Window>(new Window(base, base, memory));
}

Window::Window(uint64_t reserved, uint64_t base, PhysicalMemory& memory)
    : reserved_(reserved),
      base_(base),
      pages_(base + kOffset, kSize, memory.memory()),
      jumps_(base + kJumps, JumpCache::kLowerBits, base + kReturns),
      seen_(memory) {}

Window::~Window() {
  munmap(reinterpret_cast<void*>(reserved_), kReserved);
  --windows;
}

bool Window::can_show(const uint64_t* first_table) {
  constexpr uint64_t kPart = uint64_t{1} << 39;
  constexpr size_t kParts = 256, kPlaces = kSize / kPart;
  std::bitset<kParts + 2> used, about;  // From the part before the first.
  for (size_t i = 0; first_table && i < kParts; ++i)
    used[i + 1] = __atomic_load_n(first_table + i, __ATOMIC_RELAXED) & table_entry::kPresent;
  about = used | used << 1 | used >> 1;
  std::bitset<kPlaces> taken;
  for (size_t i = 1; i <= kParts; ++i) {
    if (about[i] && taken[i % kPlaces]) return false;
    taken[i % kPlaces] = taken[i % kPlaces] || about[i];
  }
  return used.count() <= kMostParts;
}

template <class Note>
void Window::note(Note&& note) {
  if (note()) return;
  clear();
  static_cast<void>(note());
}

void Window::show(const PagingMode& mode, const Page& page) {
  note([&] { return seen_.note(mode, page.address, page.host, page.writable); });
  // The processor's TLB may have as one page what the guest has split meanwhile.
  Page now = page;
  if (!seen_.is_large(page.address)) now.size = kPage;
  pages_.map(now);
}

void Window::show(const PagingMode& mode, std::span<const Page> pages) {
  for (const Page& page : pages)
    if (!seen_.note(mode, page.address, page.host, page.writable)) return clear();
  pages_.map(pages);
}

void Window::note_code(const PagingMode& mode, uint64_t address, const PageState& state,
                       const PageState* second) {
  note([&] {
    return seen_.note_code(mode, address, state) &&
           (!second || seen_.note_code(mode, address + kPage, *second));
  });
}

void Window::apply(std::optional<std::span<const SeenTables::Change>> changes) {
  using Kind = SeenTables::Change::Kind;
  if (!changes) return clear();
  for (const SeenTables::Change& change : *changes) {
    switch (change.kind) {
      case Kind::gone:
        pages_.forget(change.address, change.size);
        break;
      case Kind::read_only:
        pages_.forbid_writes(change.address, change.size);
        break;
      case Kind::not_code:
        for (uint64_t page = 0; page < change.size; page += kPage) jumps_.clear_page(change.address + page);
    }
  }
}

void Window::flush(const PagingMode& mode) {
  jumps_.returns().clear();
  apply(seen_.compare(mode));
}

void Window::flush_page(const PagingMode& mode, uint64_t address) {
  apply(seen_.compare_page(mode, address));
}

void Window::clear() {
  pages_.clear();
  jumps_.clear();
  seen_.clear();
}

}  // namespace alcove::cpu::soft
