#include "memory/large_pages.h"

#include <sys/mman.h>

#include <atomic>
#include <cerrno>

namespace alcove::memory {

void expect_use(const GuestMemory& memory, uint64_t address, uint64_t size) {
  // Linux 6.1 and later know MADV_COLLAPSE; what it makes a large page of must have a small one already.
  constexpr int kPopulateWrite = 23, kCollapse = 25;
  static std::atomic<bool> unknown{false};
  const Region* const region = memory.find(address, size);
  if (!region || size == 0 || unknown.load(std::memory_order_relaxed)) return;
  const uint64_t offset = address - region->guest_address, last = (offset + size - 1) / kLargePageSize;
  for (uint64_t page = offset / kLargePageSize; page <= last; ++page) {
    if ((page + 1) * kLargePageSize > region->size) return;
    std::byte* const host = region->host + page * kLargePageSize;
    const bool done =
        madvise(host, kPageSize, kPopulateWrite) == 0 && madvise(host, kLargePageSize, kCollapse) == 0;
    if (done || errno != EINVAL) continue;
    unknown.store(true, std::memory_order_relaxed);
    return;
  }
}

}  // namespace alcove::memory
