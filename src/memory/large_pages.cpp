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
