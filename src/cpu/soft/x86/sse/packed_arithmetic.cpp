// Packed integers: sums, comparisons, minima, logic.
#include "cpu/soft/x86/sse/groups.h"
#include "cpu/soft/x86/sse/lanes.h"
#include "cpu/soft/x86/sse/packed_rows.h"

namespace alcove::cpu::soft {
namespace {

constexpr auto add = [](auto a, auto b) { return a + b; };
constexpr auto subtract = [](auto a, auto b) { return a - b; };

// Overflow shows in the signs, and a's sign tells which limit was passed.
template <class V>
V saturate_overflow(V overflow, V a, V result) {
  constexpr int kSign = 8 * sizeof(Lane<V>) - 1;
  const V limit = (a >> kSign) ^ std::numeric_limits<Lane<V>>::max();
  return overflow >> kSign ? limit : result;
}
constexpr auto add_saturating = []<class V>(V a, V b) {
  using Unsigned = std::make_unsigned_t<Lane<V>>;
  const V sum = as<Lane<V>>(as<Unsigned>(a) + as<Unsigned>(b));
  if constexpr (std::is_signed_v<Lane<V>>)
    return saturate_overflow((a ^ sum) & (b ^ sum), a, sum);
  else
    return sum | reinterpret_cast<V>(sum < a);
};
constexpr auto subtract_saturating = []<class V>(V a, V b) {
  using Unsigned = std::make_unsigned_t<Lane<V>>;
  const V difference = as<Lane<V>>(as<Unsigned>(a) - as<Unsigned>(b));
  if constexpr (std::is_signed_v<Lane<V>>)
    return saturate_overflow((a ^ b) & (a ^ difference), a, difference);
  else
    return difference & reinterpret_cast<V>(a > b);
};

constexpr auto bit_and = [](auto a, auto b) { return a & b; };
constexpr auto bit_and_not = [](auto a, auto b) { return ~a & b; };
constexpr auto bit_or = [](auto a, auto b) { return a | b; };
constexpr auto bit_xor = [](auto a, auto b) { return a ^ b; };

constexpr auto equal = []<class V>(V a, V b) { return reinterpret_cast<V>(a == b); };
constexpr auto greater = []<class V>(V a, V b) { return reinterpret_cast<V>(a > b); };
constexpr auto minimum = [](auto a, auto b) { return a < b ? a : b; };
constexpr auto maximum = [](auto a, auto b) { return a > b ? a : b; };

constexpr auto average = []<class V>(V a, V b) {
  return map(a, b, [](unsigned x, unsigned y) { return (x + y + 1) >> 1; });
};
constexpr auto absolute = []<class V>(V a) {
  const auto negated = -as<std::make_unsigned_t<Lane<V>>>(a);
  return a < 0 ? as<Lane<V>>(negated) : a;
};
constexpr auto sign = []<class V>(V a, V b) {
  return map(a, b, [](int64_t x, int64_t y) { return y < 0 ? -x : y == 0 ? 0 : x; });
};

// Pairs of neighbours: those of a give the low half of the result, those of b the high half.
template <class V, class Function>
V horizontal(V a, V b, Function function) {
  constexpr size_t kHalf = kLaneCount<V> / 2;
  V result{};
  for (size_t i = 0; i < kHalf; ++i) {
    result[i] = static_cast<Lane<V>>(function(int64_t{a[2 * i]}, int64_t{a[2 * i + 1]}));
    result[kHalf + i] = static_cast<Lane<V>>(function(int64_t{b[2 * i]}, int64_t{b[2 * i + 1]}));
  }
  return result;
}
constexpr auto horizontal_add = [](auto a, auto b) {
  return horizontal(a, b, [](int64_t x, int64_t y) { return x + y; });
};
constexpr auto horizontal_subtract = [](auto a, auto b) {
  return horizontal(a, b, [](int64_t x, int64_t y) { return x - y; });
};
constexpr auto horizontal_add_saturating = [](auto a, auto b) {
  return horizontal(a, b, [](int64_t x, int64_t y) { return saturate<int16_t>(x + y); });
};
constexpr auto horizontal_subtract_saturating = [](auto a, auto b) {
  return horizontal(a, b, [](int64_t x, int64_t y) { return saturate<int16_t>(x - y); });
};

// PSADBW: in each quadword the sum of absolute differences of its bytes.
constexpr auto sum_of_differences = []<class V>(V a, V b) {
  const V differences = (a > b ? a : b) - (a < b ? a : b);
  uint8_t bytes[sizeof(V)];
  std::memcpy(bytes, &differences, sizeof differences);
  Packed<uint64_t, sizeof(V)> sums{};
  for (size_t word = 0; word < sizeof(V) / 8; ++word) {
    unsigned sum = 0;
    for (size_t i = 0; i < 8; ++i) sum += bytes[8 * word + i];
    sums[word] = sum;
  }
  return reinterpret_cast<V>(sums);
};

// MPSADBW: one group of four bytes of b against eight overlapping ones of a.
constexpr auto multiple_sums = [](XmmBytes a, XmmBytes b, uint8_t control) {
  const size_t from_a = control & 4;
  const size_t from_b = 4 * (control & 3);
  XmmWords sums{};
  for (size_t i = 0; i < 8; ++i)
    for (size_t j = 0; j < 4; ++j) {
      const int difference = a[from_a + i + j] - b[from_b + j];
      sums[i] += static_cast<uint16_t>(difference < 0 ? -difference : difference);
    }
  return as<uint8_t>(sums);
};

// PHMINPOSUW: the smallest word and where it is; the first if there are several.
constexpr auto minimum_position = [](XmmWords a) {
  uint16_t position = 0;
  for (uint16_t i = 1; i < 8; ++i)
    if (a[i] < a[position]) position = i;
  return XmmWords{a[position], position};
};

constexpr Row kRows[] = {
    ALCOVE_PACKED("paddb", "FC", Binary, add, uint8_t, "mmx", "sse2"),
    ALCOVE_PACKED("paddw", "FD", Binary, add, uint16_t, "mmx", "sse2"),
    ALCOVE_PACKED("paddd", "FE", Binary, add, uint32_t, "mmx", "sse2"),
    ALCOVE_PACKED("paddq", "D4", Binary, add, uint64_t, "sse2", "sse2"),
    ALCOVE_PACKED("psubb", "F8", Binary, subtract, uint8_t, "mmx", "sse2"),
    ALCOVE_PACKED("psubw", "F9", Binary, subtract, uint16_t, "mmx", "sse2"),
    ALCOVE_PACKED("psubd", "FA", Binary, subtract, uint32_t, "mmx", "sse2"),
    ALCOVE_PACKED("psubq", "FB", Binary, subtract, uint64_t, "sse2", "sse2"),
    ALCOVE_PACKED("paddsb", "EC", Binary, add_saturating, int8_t, "mmx", "sse2"),
    ALCOVE_PACKED("paddsw", "ED", Binary, add_saturating, int16_t, "mmx", "sse2"),
    ALCOVE_PACKED("paddusb", "DC", Binary, add_saturating, uint8_t, "mmx", "sse2"),
    ALCOVE_PACKED("paddusw", "DD", Binary, add_saturating, uint16_t, "mmx", "sse2"),
    ALCOVE_PACKED("psubsb", "E8", Binary, subtract_saturating, int8_t, "mmx", "sse2"),
    ALCOVE_PACKED("psubsw", "E9", Binary, subtract_saturating, int16_t, "mmx", "sse2"),
    ALCOVE_PACKED("psubusb", "D8", Binary, subtract_saturating, uint8_t, "mmx", "sse2"),
    ALCOVE_PACKED("psubusw", "D9", Binary, subtract_saturating, uint16_t, "mmx", "sse2"),
    ALCOVE_PACKED("pand", "DB", Binary, bit_and, uint64_t, "mmx", "sse2"),
    ALCOVE_PACKED("pandn", "DF", Binary, bit_and_not, uint64_t, "mmx", "sse2"),
    ALCOVE_PACKED("por", "EB", Binary, bit_or, uint64_t, "mmx", "sse2"),
    ALCOVE_PACKED("pxor", "EF", Binary, bit_xor, uint64_t, "mmx", "sse2"),
    ALCOVE_PACKED("pcmpeqb", "74", Binary, equal, uint8_t, "mmx", "sse2"),
    ALCOVE_PACKED("pcmpeqw", "75", Binary, equal, uint16_t, "mmx", "sse2"),
    ALCOVE_PACKED("pcmpeqd", "76", Binary, equal, uint32_t, "mmx", "sse2"),
    ALCOVE_PACKED_XMM("pcmpeqq", "38 29", Binary, equal, uint64_t, "sse4_1"),
    ALCOVE_PACKED("pcmpgtb", "64", Binary, greater, int8_t, "mmx", "sse2"),
    ALCOVE_PACKED("pcmpgtw", "65", Binary, greater, int16_t, "mmx", "sse2"),
    ALCOVE_PACKED("pcmpgtd", "66", Binary, greater, int32_t, "mmx", "sse2"),
    ALCOVE_PACKED_XMM("pcmpgtq", "38 37", Binary, greater, int64_t, "sse4_2"),
    ALCOVE_PACKED("pminub", "DA", Binary, minimum, uint8_t, "sse", "sse2"),
    ALCOVE_PACKED("pmaxub", "DE", Binary, maximum, uint8_t, "sse", "sse2"),
    ALCOVE_PACKED("pminsw", "EA", Binary, minimum, int16_t, "sse", "sse2"),
    ALCOVE_PACKED("pmaxsw", "EE", Binary, maximum, int16_t, "sse", "sse2"),
    ALCOVE_PACKED_XMM("pminsb", "38 38", Binary, minimum, int8_t, "sse4_1"),
    ALCOVE_PACKED_XMM("pminsd", "38 39", Binary, minimum, int32_t, "sse4_1"),
    ALCOVE_PACKED_XMM("pminuw", "38 3A", Binary, minimum, uint16_t, "sse4_1"),
    ALCOVE_PACKED_XMM("pminud", "38 3B", Binary, minimum, uint32_t, "sse4_1"),
    ALCOVE_PACKED_XMM("pmaxsb", "38 3C", Binary, maximum, int8_t, "sse4_1"),
    ALCOVE_PACKED_XMM("pmaxsd", "38 3D", Binary, maximum, int32_t, "sse4_1"),
    ALCOVE_PACKED_XMM("pmaxuw", "38 3E", Binary, maximum, uint16_t, "sse4_1"),
    ALCOVE_PACKED_XMM("pmaxud", "38 3F", Binary, maximum, uint32_t, "sse4_1"),
    ALCOVE_PACKED("pavgb", "E0", Binary, average, uint8_t, "sse", "sse2"),
    ALCOVE_PACKED("pavgw", "E3", Binary, average, uint16_t, "sse", "sse2"),
    ALCOVE_PACKED("psadbw", "F6", Binary, sum_of_differences, uint8_t, "sse", "sse2"),
    ALCOVE_PACKED("pabsb", "38 1C", Unary, absolute, int8_t, "ssse3", "ssse3"),
    ALCOVE_PACKED("pabsw", "38 1D", Unary, absolute, int16_t, "ssse3", "ssse3"),
    ALCOVE_PACKED("pabsd", "38 1E", Unary, absolute, int32_t, "ssse3", "ssse3"),
    ALCOVE_PACKED("psignb", "38 08", Binary, sign, int8_t, "ssse3", "ssse3"),
    ALCOVE_PACKED("psignw", "38 09", Binary, sign, int16_t, "ssse3", "ssse3"),
    ALCOVE_PACKED("psignd", "38 0A", Binary, sign, int32_t, "ssse3", "ssse3"),
    ALCOVE_PACKED("phaddw", "38 01", Binary, horizontal_add, int16_t, "ssse3", "ssse3"),
    ALCOVE_PACKED("phaddd", "38 02", Binary, horizontal_add, int32_t, "ssse3", "ssse3"),
    ALCOVE_PACKED("phaddsw", "38 03", Binary, horizontal_add_saturating, int16_t, "ssse3", "ssse3"),
    ALCOVE_PACKED("phsubw", "38 05", Binary, horizontal_subtract, int16_t, "ssse3", "ssse3"),
    ALCOVE_PACKED("phsubd", "38 06", Binary, horizontal_subtract, int32_t, "ssse3", "ssse3"),
    ALCOVE_PACKED("phsubsw", "38 07", Binary, horizontal_subtract_saturating, int16_t, "ssse3", "ssse3"),
    ALCOVE_PACKED_XMM("phminposuw", "38 41", Unary, minimum_position, uint16_t, "sse4_1"),
    ALCOVE_PACKED_XMM_IMMEDIATE("mpsadbw", "3A 42", BinaryImmediate, multiple_sums, uint8_t, "sse4_1"),
};

}  // namespace

std::span<const Row> packed_arithmetic_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
