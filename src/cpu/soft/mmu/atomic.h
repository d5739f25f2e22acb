// Read-modify-write of host memory by the host's own locked instructions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/soft/mmu/slow_path.h"

namespace alcove::cpu::soft {

// Whether locked instructions on these bytes lock one cache line only; others stop the whole host for a while
// where it allows them at all.
inline bool within_cache_line(const void* host, size_t size) {
  return reinterpret_cast<uintptr_t>(host) % 64 + size <= 64;
}

// LOCK CMPXCHG, also where T is not aligned. True if `*host` was `expected`, which otherwise becomes what it
// was.
template <class T>
bool compare_exchange(void* host, T& expected, T desired) {
  bool equal;
  if constexpr (sizeof(T) == 16) {
    uint64_t low = static_cast<uint64_t>(expected), high = static_cast<uint64_t>(expected >> 64);
    __asm__ volatile("lock cmpxchg16b (%[host])"
                     : "=@ccz"(equal), "+a"(low), "+d"(high)
                     : [host] "r"(host), "b"(static_cast<uint64_t>(desired)),
                       "c"(static_cast<uint64_t>(desired >> 64))
                     : "memory");
    expected = static_cast<T>(high) << 64 | low;
  } else {
    __asm__ volatile("lock cmpxchg %[desired], (%[host])"
                     : "=@ccz"(equal), "+a"(expected)
                     : [host] "r"(host), [desired] "q"(desired)
                     : "memory");
  }
  return equal;
}

// As modify_slow(), on bytes of one page's RAM.
void modify_host(std::byte* host, size_t size, bool locked, void* old, Exchange exchange, void* context);

}  // namespace alcove::cpu::soft
