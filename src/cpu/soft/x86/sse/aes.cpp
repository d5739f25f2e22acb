#include "cpu/soft/x86/sse/aes.h"

#include <array>

namespace alcove::cpu::soft::aes {
namespace {

using Table = std::array<uint8_t, 256>;

// In GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197, 4.2).
constexpr uint8_t times_two(uint8_t value) {
  return static_cast<uint8_t>(value << 1 ^ (value & 0x80 ? 0x1b : 0));
}
constexpr uint8_t multiply(uint8_t a, uint8_t b) {
  uint8_t product = 0;
  for (; b != 0; b >>= 1, a = times_two(a))
    if (b & 1) product ^= a;
  return product;
}

// The S-box: the inverse, then an affine transformation (FIPS 197, 5.1.1). Powers of the generator 3 and of
// its inverse, 0xf6, run through all pairs of inverses.
constexpr Table kSubstitution = [] {
  Table table{};
  uint8_t value = 1;
  uint8_t inverse = 1;
  do {
    table[value] = static_cast<uint8_t>(inverse ^ std::rotl(inverse, 1) ^ std::rotl(inverse, 2) ^
                                        std::rotl(inverse, 3) ^ std::rotl(inverse, 4) ^ 0x63);
    value = multiply(value, 3);
    inverse = multiply(inverse, 0xf6);
  } while (value != 1);
  table[0] = 0x63;
  return table;
}();
constexpr Table kInverseSubstitution = [] {
  Table table{};
  for (unsigned i = 0; i < 256; ++i) table[kSubstitution[i]] = static_cast<uint8_t>(i);
  return table;
}();

constexpr Table multiples(uint8_t factor) {
  Table table{};
  for (unsigned i = 0; i < 256; ++i) table[i] = multiply(static_cast<uint8_t>(i), factor);
  return table;
}
constexpr Table kTimes2 = multiples(2), kTimes3 = multiples(3), kTimes9 = multiples(9),
                kTimes11 = multiples(11), kTimes13 = multiples(13), kTimes14 = multiples(14);

}  // namespace

uint8_t substitute(uint8_t byte) {
  return kSubstitution[byte];
}

// Row r, which is bytes r, r+4, r+8, r+12, moves r places to the left.
XmmBytes substitute_and_shift(XmmBytes state) {
  XmmBytes result{};
  for (unsigned i = 0; i < 16; ++i) result[i] = kSubstitution[state[(i + 4 * (i % 4)) % 16]];
  return result;
}

XmmBytes inverse_substitute_and_shift(XmmBytes state) {
  XmmBytes result{};
  for (unsigned i = 0; i < 16; ++i) result[i] = kInverseSubstitution[state[(i + 12 * (i % 4)) % 16]];
  return result;
}

XmmBytes mix_columns(XmmBytes state) {
  XmmBytes result{};
  for (unsigned i = 0; i < 16; ++i) {
    const unsigned column = i & ~3u;
    const auto at = [&](unsigned distance) { return state[column + (i + distance) % 4]; };
    result[i] = kTimes2[at(0)] ^ kTimes3[at(1)] ^ at(2) ^ at(3);
  }
  return result;
}

XmmBytes inverse_mix_columns(XmmBytes state) {
  XmmBytes result{};
  for (unsigned i = 0; i < 16; ++i) {
    const unsigned column = i & ~3u;
    const auto at = [&](unsigned distance) { return state[column + (i + distance) % 4]; };
    result[i] = kTimes14[at(0)] ^ kTimes11[at(1)] ^ kTimes13[at(2)] ^ kTimes9[at(3)];
  }
  return result;
}

}  // namespace alcove::cpu::soft::aes
