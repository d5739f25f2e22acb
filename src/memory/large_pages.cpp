#include "memory/large_pages.h"

#include <sys/mman.h>

#include <atomic>
#include <cerrno>

namespace alcove::memory {
namespace {

// What is made a large page must have a small one already. False if this host can't make any.
bool collapse(std::byte* host) {
  // Linux 6.1 and later know MADV_COLLAPSE.
  constexpr int kPopulateWrite = 23, kCollapse = 25;
  madvise(host, kPageSize, kPopulateWrite);
  return madvise(host, kLargePageSize, kCollapse) == 0 || errno != EINVAL;
}

std::atomic<bool> possible{true};

}  // namespace

void provide_large_page(std::byte* host) {
  if (possible.load(std::memory_order_relaxed) && !collapse(host))
    possible.store(false, std::memory_order_relaxed);
}

void* reserve_for_large_pages(size_t size, int protection) {
  void* const reserved =
      mmap(nullptr, size + kLargePageSize, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return MAP_FAILED;
  auto* const begin = static_cast<std::byte*>(reserved);
  std::byte* const aligned = begin + -reinterpret_cast<uintptr_t>(begin) % kLargePageSize;
  if (aligned != begin) munmap(begin, static_cast<size_t>(aligned - begin));
  munmap(aligned + size, static_cast<size_t>(begin + kLargePageSize - aligned));
  return aligned;
}

void* map_for_large_pages(int file, size_t size, uint64_t offset, int protection) {
  void* const place = reserve_for_large_pages(size, PROT_NONE);
  if (place == MAP_FAILED) return MAP_FAILED;
  void* const mapped =
      mmap(place, size, protection, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, file, static_cast<off_t>(offset));
  if (mapped != MAP_FAILED) return mapped;
  const int error = errno;
  munmap(place, size);
  errno = error;
  return MAP_FAILED;
}

void expect_use(const GuestMemory& memory, uint64_t address, uint64_t size) {
  const Region* const region = memory.find(address, size);
  if (!region || size == 0) return;
  const uint64_t offset = address - region->guest_address, last = (offset + size - 1) / kLargePageSize;
  for (uint64_t page = offset / kLargePageSize; page <= last; ++page) {
    if ((page + 1) * kLargePageSize > region->size) return;
    provide_large_page(region->host + page * kLargePageSize);
  }
}

}  // namespace alcove::memory
