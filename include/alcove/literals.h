// Sizes as they are spoken: 4_GiB. `using namespace alcove::literals;` brings them in.
#pragma once

#include <cstdint>

namespace alcove::literals {

// NOLINTBEGIN(google-runtime-int): literal operators take unsigned long long.
constexpr uint64_t operator""_KiB(unsigned long long count) {
  return count << 10;
}
constexpr uint64_t operator""_MiB(unsigned long long count) {
  return count << 20;
}
constexpr uint64_t operator""_GiB(unsigned long long count) {
  return count << 30;
}
constexpr uint64_t operator""_TiB(unsigned long long count) {
  return count << 40;
}
// NOLINTEND(google-runtime-int)

}  // namespace alcove::literals
