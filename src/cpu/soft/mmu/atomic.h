// Read-modify-write of host memory by the host's own locked instructions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cpu/soft/mmu/slow_path.h"

namespace alcove::cpu::soft {

// Copies in one access where the size allows it: other processors see no half-written values.
inline void copy_bytes(void* to, const void* from, size_t size) {
  switch (size) {
    case 1:
      std::memcpy(to, from, 1);
      break;
    case 2:
      std::memcpy(to, from, 2);
      break;
    case 4:
      std::memcpy(to, from, 4);
      break;
    case 8:
      std::memcpy(to, from, 8);
      break;
    case 16:
      std::memcpy(to, from, 16);
      break;
    default:
      std::memcpy(to, from, size);
  }
}

// Whether the host's locked instructions can do it. Those that cross a cache line stop the whole host for a
// while where it allows them at all, CMPXCHG16B wants its operand aligned.
inline bool can_lock(const void* host, size_t size) {
  const auto address = reinterpret_cast<uintptr_t>(host);
  return address % 64 + size <= 64 && (size < 16 || address % 16 == 0);
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
