// Large pages of the host for the guest's memory, and for others'.
#pragma once

#include <cstddef>
#include <cstdint>

#include "memory/guest_memory.h"

namespace alcove::memory {

inline constexpr uint64_t kLargePageSize = 2 << 20;

// Addresses that begin at a multiple of the large pages' size: of zeroes, or of a file from `offset` on;
// MAP_FAILED and errno if the host has no room. To be unmapped with munmap(2). Pages are allocated when they
// are first used.
void* reserve_for_large_pages(size_t size, int protection);
void* map_for_large_pages(int file, size_t size, uint64_t offset, int protection);

// The range is going to be used: asks the host for pages of 2 MiB where it lies. They are given at once, and
// whole, but take much less time than the page faults of the small ones, and of the host's TLB. Any thread.
// Without effect where the host has none.
void expect_use(const GuestMemory& memory, uint64_t address, uint64_t size);

// The same for one page that is aligned to its size. Memory that can't be written through this mapping must
// have been through another one.
void provide_large_page(std::byte* host);

}  // namespace alcove::memory
