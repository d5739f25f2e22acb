#include "cpu/soft/mmu/page_view.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <utility>

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kPage = memory::kPageSize;

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

PageView::~PageView() {
  mappings -= counted_;
}

bool PageView::has(uint64_t address, const std::byte* host) const {
  const auto is_there = [&](const auto& pages, uint64_t size) {
    const auto it = pages.find((address & (size_ - 1)) / size);
    return it != pages.end() && it->second.address == (address & ~(size - 1)) &&
           it->second.host + (address & (size - 1)) == host;
  };
  return is_there(large_, kLargeSize) || is_there(pages_, kPage);
}

bool PageView::has_room(size_t more) {
  if (mappings.fetch_add(more) + more <= mapping_limit()) {
    counted_ += more;
    return true;
  }
  mappings -= more;
  return false;
}

bool PageView::is_own(const std::byte* host) const {
  return std::ranges::any_of(memory_.regions(), [host](const memory::Region& region) {
    return host >= region.host && host < region.host + region.size;
  });
}

bool PageView::map_run(uint64_t address, const std::byte* host, uint64_t size, bool writable, bool populate) {
  // A mapping in another's midst makes two of that.
  if (has_room(2)) {
    for (const memory::Region& region : memory_.regions()) {
      if (host < region.host || host + size > region.host + region.size) continue;
      const auto offset = static_cast<off_t>(region.file_offset + static_cast<uint64_t>(host - region.host));
      if (mmap(place(address), size, writable ? PROT_READ | PROT_WRITE : PROT_READ,
               MAP_SHARED | MAP_FIXED | MAP_NORESERVE | (populate ? MAP_POPULATE : 0), memory_.fd(),
               offset) == MAP_FAILED)
        break;
      return true;
    }
  }
  clear();
  return false;
}

bool PageView::unmap(uint64_t address, uint64_t size) {
  if (!has_room(2) || !reserve(place(address), size)) {
    clear();
    return false;
  }
  settle();
  return true;
}

void PageView::settle() {
  constexpr size_t kMostParts = 2 * kLargeSize / kPage;
  // There are no more mappings than pages, or parts of large ones, and as many gaps.
  large_splits_ = std::min(large_splits_, kMostParts * large_.size());
  const size_t most = 2 * (pages_.size() + large_.size()) + large_splits_;
  if (counted_ <= most) return;
  mappings -= counted_ - most;
  counted_ = most;
}

bool PageView::protect(uint64_t address, uint64_t size, bool writable) {
  // A part of a mapping that differs from the others makes three of it.
  if (has_room(2) && mprotect(place(address), size, writable ? PROT_READ | PROT_WRITE : PROT_READ) == 0) {
    if (large_.contains((address & (size_ - 1)) / kLargeSize)) large_splits_ += 2;
    settle();
    return true;
  }
  clear();
  return false;
}

bool PageView::map(const Page& page) {
  if (!is_own(page.host)) return true;
  const uint64_t number = (page.address & (size_ - 1)) / kPage,
                 large_number = (page.address & (size_ - 1)) / kLargeSize;
  const uint64_t large_address = page.address & ~(kLargeSize - 1);
  if (const auto large = large_.find(large_number); large != large_.end()) {
    if (large->second.address == large_address &&
        large->second.host + (page.address - large_address) == page.host)
      return protect(page.address, kPage, page.writable);
    large_.erase(large);
    if (!unmap(large_address, kLargeSize)) return false;
  }
  if (page.size == kLargeSize) {
    for (uint64_t i = 0; i < kLargeSize / kPage; ++i) pages_.erase(large_number * (kLargeSize / kPage) + i);
    const std::byte* const host = page.host - (page.address - large_address);
    large_.insert_or_assign(large_number, Mapped{large_address, host, true});
    return map_run(large_address, host, kLargeSize, true, page.populate);
  }
  Mapped& mapped = pages_[number];
  if (mapped.address == page.address && mapped.host == page.host) {
    if (std::exchange(mapped.writable, page.writable) == page.writable) return true;
    return protect(page.address, kPage, page.writable);
  }
  mapped = {page.address, page.host, page.writable};
  return map_run(page.address, page.host, kPage, page.writable, page.populate);
}

bool PageView::map(std::span<const Page> pages) {
  while (!pages.empty()) {
    const Page& first = pages[0];
    if (large_.contains((first.address & (size_ - 1)) / kLargeSize) || !is_own(first.host)) {
      if (!map(first)) return false;
      pages = pages.subspan(1);
      continue;
    }
    size_t count = 1;
    while (count < pages.size() && pages[count].address == first.address + count * kPage &&
           pages[count].host == first.host + count * kPage && pages[count].writable == first.writable &&
           pages[count].populate == first.populate && pages[count].address % kLargeSize != 0)
      ++count;
    for (const Page& page : pages.first(count))
      pages_.insert_or_assign((page.address & (size_ - 1)) / kPage,
                              Mapped{page.address, page.host, page.writable});
    if (!map_run(first.address, first.host, count * kPage, first.writable, first.populate)) return false;
    pages = pages.subspan(count);
  }
  return true;
}

void PageView::forget(uint64_t address, uint64_t size) {
  const uint64_t begin = address & (size_ - 1), end = begin + size;
  size_t count = 0;
  for (uint64_t number = begin / kPage; number < end / kPage; ++number) count += pages_.erase(number);
  for (uint64_t number = (begin + kLargeSize - 1) / kLargeSize; number < end / kLargeSize; ++number)
    count += large_.erase(number);
  if (count > 0) unmap(address, size);
}

void PageView::forget_page(uint64_t address) {
  const uint64_t page = address & ~(kPage - 1), large_page = address & ~(kLargeSize - 1);
  if (const auto it = large_.find((address & (size_ - 1)) / kLargeSize);
      it != large_.end() && it->second.address == large_page) {
    large_.erase(it);
    unmap(large_page, kLargeSize);
  }
  if (const auto it = pages_.find((address & (size_ - 1)) / kPage);
      it != pages_.end() && it->second.address == page) {
    pages_.erase(it);
    unmap(page, kPage);
  }
}

void PageView::forbid_writes(const std::byte* host_page) {
  for (auto& [number, mapped] : pages_) {
    if (mapped.host != host_page || !mapped.writable) continue;
    mapped.writable = false;
    if (!protect(mapped.address, kPage, false)) return;
  }
  for (const auto& [number, mapped] : large_)
    if (host_page >= mapped.host && host_page < mapped.host + kLargeSize &&
        !protect(mapped.address + static_cast<uint64_t>(host_page - mapped.host), kPage, false))
      return;
}

void PageView::forbid_writes(uint64_t address, uint64_t size) {
  const auto is_writable = [this](uint64_t page) {
    const auto it = pages_.find((page & (size_ - 1)) / kPage);
    return it != pages_.end() && it->second.address == page && std::exchange(it->second.writable, false);
  };
  for (uint64_t page = address, end; page < address + size; page = end + kPage) {
    for (end = page; end < address + size && is_writable(end);) end += kPage;
    if (end > page && !protect(page, end - page, false)) return;
  }
}

void PageView::clear() {
  pages_.clear();
  large_.clear();
  large_splits_ = 0;
  if (counted_ == 0) return;
  // Without this nothing would keep the guest from what is not its own any more.
  if (!reserve(reinterpret_cast<void*>(origin_), size_)) __builtin_abort();
  mappings -= counted_;
  counted_ = 0;
}

}  // namespace alcove::cpu::soft
