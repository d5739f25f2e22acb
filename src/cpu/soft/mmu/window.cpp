#include "cpu/soft/mmu/window.h"

#include <sys/mman.h>

#include <atomic>
#include <fstream>

#include "cpu/soft/mmu/flat_map.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kPage = memory::kPageSize;
// The farthest access begins at the end of what is within reach.
constexpr size_t kReserved = Window::kOffset + Window::kSize + Window::kReach + kPage;
// Of the host's 128 TiB, beside what the FlatMaps need.
constexpr size_t kWindows = 3;
std::atomic<size_t> windows{0};

// Each mapping is an object of the host's kernel, of which a process has a limited number
// (/proc/sys/vm/max_map_count).
std::atomic<size_t> mappings{0};
size_t mapping_limit() {
  static const size_t limit = [] {
    size_t count = 65530;
    std::ifstream("/proc/sys/vm/max_map_count") >> count;
    return count / 4 * 3;
  }();
  return limit;
}

bool reserve(void* at, size_t size) {
  return mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) !=
         MAP_FAILED;
}

}  // namespace

std::unique_ptr<Window> Window::create(const CpuMemory& cpu, const memory::GuestMemory& memory) {
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

Window::Window(uint64_t reserved, uint64_t base, const memory::GuestMemory& memory)
    : reserved_(reserved),
      base_(base),
      memory_(memory),
      jumps_(base + kJumps, JumpCache::kLowerBits, base + kReturns) {}

Window::~Window() {
  munmap(reinterpret_cast<void*>(reserved_), kReserved);
  mappings -= counted_;
  --windows;
}

bool Window::has_room(size_t more) {
  if (mappings.fetch_add(more) + more <= mapping_limit()) {
    counted_ += more;
    return true;
  }
  mappings -= more;
  return false;
}

bool Window::map_run(uint64_t address, const std::byte* host, uint64_t size, bool writable) {
  // A mapping in another's midst makes two of that.
  if (has_room(2)) {
    for (const memory::Region& region : memory_.regions()) {
      if (host < region.host || host + size > region.host + region.size) continue;
      const auto offset = static_cast<off_t>(region.file_offset + static_cast<uint64_t>(host - region.host));
      if (mmap(place(address), size, writable ? PROT_READ | PROT_WRITE : PROT_READ,
               MAP_SHARED | MAP_FIXED | MAP_NORESERVE | MAP_POPULATE, memory_.fd(), offset) == MAP_FAILED)
        break;
      return true;
    }
  }
  clear();
  return false;
}

void Window::unmap(uint64_t address, uint64_t size) {
  if (!reserve(place(address), size)) clear();
}

void Window::protect(uint64_t address, bool writable) {
  if (mprotect(place(address), kPage, writable ? PROT_READ | PROT_WRITE : PROT_READ) != 0) clear();
}

void Window::map(const Page& page) {
  const uint64_t number = (page.address & kMask) / kPage, large_number = (page.address & kMask) / kLargeSize;
  const uint64_t large_address = page.address & ~(kLargeSize - 1);
  if (const auto large = large_.find(large_number); large != large_.end()) {
    if (large->second.address == large_address &&
        large->second.host + (page.address - large_address) == page.host) {
      protect(page.address, page.writable);
      return;
    }
    unmap(large_address, kLargeSize);
    large_.erase(large_number);
  }
  if (page.size == kLargeSize) {
    for (uint64_t i = 0; i < kLargeSize / kPage; ++i) pages_.erase(large_number * (kLargeSize / kPage) + i);
    const std::byte* const host = page.host - (page.address - large_address);
    if (map_run(large_address, host, kLargeSize, true))
      large_.insert_or_assign(large_number, Mapped{large_address, host, true});
    return;
  }
  Mapped& mapped = pages_[number];
  if (mapped.address == page.address && mapped.host == page.host) {
    if (mapped.writable != page.writable) {
      mapped.writable = page.writable;
      protect(page.address, page.writable);
    }
    return;
  }
  mapped = {page.address, page.host, page.writable};
  map_run(page.address, page.host, kPage, page.writable);
}

void Window::map(std::span<const Page> pages) {
  while (!pages.empty()) {
    const Page& first = pages[0];
    size_t count = 1;
    while (count < pages.size() && pages[count].address == first.address + count * kPage &&
           pages[count].host == first.host + count * kPage && pages[count].writable == first.writable)
      ++count;
    if (!map_run(first.address, first.host, count * kPage, first.writable)) return;
    for (const Page& page : pages.first(count))
      pages_.insert_or_assign((page.address & kMask) / kPage, Mapped{page.address, page.host, page.writable});
    pages = pages.subspan(count);
  }
}

void Window::forget_page(uint64_t address) {
  const uint64_t page = address & ~(kPage - 1), large_page = address & ~(kLargeSize - 1);
  if (const auto it = large_.find((address & kMask) / kLargeSize);
      it != large_.end() && it->second.address == large_page) {
    large_.erase(it);
    unmap(large_page, kLargeSize);
  }
  if (const auto it = pages_.find((address & kMask) / kPage);
      it != pages_.end() && it->second.address == page) {
    pages_.erase(it);
    unmap(page, kPage);
  }
}

void Window::forbid_writes(const std::byte* host_page) {
  for (auto& [number, mapped] : pages_) {
    if (mapped.host != host_page || !mapped.writable) continue;
    mapped.writable = false;
    if (mprotect(place(mapped.address), kPage, PROT_READ) != 0) return clear();
  }
  for (const auto& [number, mapped] : large_)
    if (host_page >= mapped.host && host_page < mapped.host + kLargeSize &&
        mprotect(place(mapped.address) + (host_page - mapped.host), kPage, PROT_READ) != 0)
      return clear();
}

void Window::clear() {
  if (counted_ == 0) return;
  // Without this nothing would keep the guest from what is not its own any more.
  if (!reserve(reinterpret_cast<void*>(base_ + kOffset), kSize)) __builtin_abort();
  mappings -= counted_;
  counted_ = 0;
  pages_.clear();
  large_.clear();
}

}  // namespace alcove::cpu::soft
