#include "cpu/soft/mmu/atomic.h"

#include <array>
#include <cstring>

namespace alcove::cpu::soft {
namespace {

template <class T>
void modify_locked(std::byte* host, void* old, Exchange exchange, void* context) {
  T expected;
  std::memcpy(&expected, host, sizeof expected);
  for (;;) {
    T desired = expected;
    exchange(&desired, context);
    if (compare_exchange(host, expected, desired)) break;
  }
  std::memcpy(old, &expected, sizeof expected);
}

}  // namespace

void modify_host(std::byte* host, size_t size, bool locked, void* old, Exchange exchange, void* context) {
  if (locked) {
    switch (size) {
      case 1:
        return modify_locked<uint8_t>(host, old, exchange, context);
      case 2:
        return modify_locked<uint16_t>(host, old, exchange, context);
      case 4:
        return modify_locked<uint32_t>(host, old, exchange, context);
      case 8:
        return modify_locked<uint64_t>(host, old, exchange, context);
      case 16:
        return modify_locked<unsigned __int128>(host, old, exchange, context);
    }
  }
  std::array<std::byte, 64> value;
  copy_bytes(value.data(), host, size);
  std::memcpy(old, value.data(), size);
  exchange(value.data(), context);
  copy_bytes(host, value.data(), size);
}

}  // namespace alcove::cpu::soft
