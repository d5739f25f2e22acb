// Packed integers: products.
#include "cpu/soft/x86/sse/groups.h"
#include "cpu/soft/x86/sse/lanes.h"
#include "cpu/soft/x86/sse/packed_rows.h"

namespace alcove::cpu::soft {
namespace {

constexpr auto multiply_low = [](auto a, auto b) { return a * b; };
constexpr auto multiply_high = []<class V>(V a, V b) {
  return map(a, b, [](int x, int y) { return static_cast<Lane<V>>((x * int64_t{y}) >> 16); });
};
constexpr auto multiply_rounded = [](auto a, auto b) {
  return map(a, b, [](int x, int y) { return (((x * y) >> 14) + 1) >> 1; });
};

// PMULUDQ, PMULDQ: the even lanes, to their full width. T is the lane's type.
template <class T>
inline constexpr auto multiply_even = []<class V>(V a, V b) {
  using Wide = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
  return map(a, b, [](uint64_t x, uint64_t y) {
    return static_cast<uint64_t>(Wide{static_cast<T>(x)} * Wide{static_cast<T>(y)});
  });
};

constexpr auto multiply_add = []<class V>(V a, V b) {
  Packed<uint32_t, sizeof(V)> sums{};
  for (size_t i = 0; i < sizeof(V) / 4; ++i)
    sums[i] = static_cast<uint32_t>(a[2 * i] * b[2 * i]) + static_cast<uint32_t>(a[2 * i + 1] * b[2 * i + 1]);
  return reinterpret_cast<V>(sums);
};

// PMADDUBSW: unsigned bytes of a by signed bytes of b.
constexpr auto multiply_add_bytes = []<class V>(V a, V b) {
  const auto factor = as<int8_t>(b);
  Packed<int16_t, sizeof(V)> sums{};
  for (size_t i = 0; i < sizeof(V) / 2; ++i)
    sums[i] = saturate<int16_t>(a[2 * i] * factor[2 * i] + a[2 * i + 1] * factor[2 * i + 1]);
  return reinterpret_cast<V>(sums);
};

constexpr Row kRows[] = {
    ALCOVE_PACKED("pmullw", "D5", Binary, multiply_low, uint16_t, "mmx", "sse2"),
    ALCOVE_PACKED("pmulhw", "E5", Binary, multiply_high, int16_t, "mmx", "sse2"),
    ALCOVE_PACKED("pmulhuw", "E4", Binary, multiply_high, uint16_t, "sse", "sse2"),
    ALCOVE_PACKED("pmulhrsw", "38 0B", Binary, multiply_rounded, int16_t, "ssse3", "ssse3"),
    ALCOVE_PACKED("pmuludq", "F4", Binary, multiply_even<uint32_t>, uint64_t, "sse2", "sse2"),
    ALCOVE_PACKED_XMM("pmuldq", "38 28", Binary, multiply_even<int32_t>, uint64_t, "sse4_1"),
    ALCOVE_PACKED_XMM("pmulld", "38 40", Binary, multiply_low, uint32_t, "sse4_1"),
    ALCOVE_PACKED("pmaddwd", "F5", Binary, multiply_add, int16_t, "mmx", "sse2"),
    ALCOVE_PACKED("pmaddubsw", "38 04", Binary, multiply_add_bytes, uint8_t, "ssse3", "ssse3"),
};

}  // namespace

std::span<const Row> packed_multiply_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
