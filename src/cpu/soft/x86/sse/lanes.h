// Building blocks for packed integer operations over vectors of 8 or 16 bytes.
#pragma once

#include <algorithm>
#include <limits>

#include "cpu/soft/x86/sse/operands.h"

namespace alcove::cpu::soft {

// Applies `function` lane by lane.
template <class V, class Function>
[[gnu::always_inline]] inline V map(V a, Function function) {
  V result{};
  for (size_t i = 0; i < kLaneCount<V>; ++i) result[i] = static_cast<Lane<V>>(function(a[i]));
  return result;
}
template <class V, class Function>
[[gnu::always_inline]] inline V map(V a, V b, Function function) {
  V result{};
  for (size_t i = 0; i < kLaneCount<V>; ++i) result[i] = static_cast<Lane<V>>(function(a[i], b[i]));
  return result;
}

template <class T>
constexpr T saturate(int64_t value) {
  return static_cast<T>(
      std::clamp<int64_t>(value, std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
}

// The lanes of a and b (numbered on from those of a) that Index()(0), Index()(1)… name.
template <class V, class Index>
[[gnu::always_inline]] inline V pick_lanes(V a, V b, Index) {
  return [&]<size_t... kLane>(std::index_sequence<kLane...>) {
    return __builtin_shufflevector(a, b, Index()(kLane)...);
  }(std::make_index_sequence<kLaneCount<V>>());
}

// The same bits with lanes of T.
template <class T, class V>
Packed<T, sizeof(V)> as(V value) {
  return reinterpret_cast<Packed<T, sizeof(V)>>(value);
}

}  // namespace alcove::cpu::soft
