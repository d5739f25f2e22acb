// Big-endian numbers at any address.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace alcove::storage::qcow2 {

template <class Integer>
Integer swap_bytes(Integer value) {
  if constexpr (sizeof value == 8) return __builtin_bswap64(value);
  if constexpr (sizeof value == 4) return __builtin_bswap32(value);
  if constexpr (sizeof value == 2) return __builtin_bswap16(value);
  return value;
}

template <class Integer>
Integer load(const std::byte* from) {
  Integer value;
  std::memcpy(&value, from, sizeof value);
  return swap_bytes(value);
}

template <class Integer>
void store(std::byte* to, Integer value) {
  value = swap_bytes(value);
  std::memcpy(to, &value, sizeof value);
}

}  // namespace alcove::storage::qcow2
