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

// What a byte in the first row adds to its column when columns are mixed; for row r, rotated by r bytes.
using Columns = std::array<uint32_t, 256>;
constexpr Columns columns(const uint8_t (&factors)[4], const Table& substitution) {
  Columns result{};
  for (unsigned i = 0; i < 256; ++i)
    for (unsigned row = 0; row < 4; ++row)
      result[i] |= uint32_t{multiply(substitution[i], factors[row])} << 8 * row;
  return result;
}
constexpr Table kIdentity = [] {
  Table table{};
  for (unsigned i = 0; i < 256; ++i) table[i] = static_cast<uint8_t>(i);
  return table;
}();
constexpr uint8_t kMix[4] = {2, 1, 1, 3};
constexpr uint8_t kInverseMix[4] = {14, 9, 13, 11};
constexpr Columns kEncrypt = columns(kMix, kSubstitution);
constexpr Columns kDecrypt = columns(kInverseMix, kInverseSubstitution);
constexpr Columns kUnmix = columns(kInverseMix, kIdentity);

// Row r of the state is taken from `step` * r columns further on.
XmmBytes mix(XmmBytes state, const Columns& table, unsigned step) {
  uint8_t bytes[16];
  std::memcpy(bytes, &state, sizeof state);
  Packed<uint32_t, 16> result{};
  for (unsigned column = 0; column < 4; ++column) {
    uint32_t sum = 0;
    for (unsigned row = 0; row < 4; ++row)
      sum ^= std::rotl(table[bytes[(4 * (column + step * row) + row) % 16]], static_cast<int>(8 * row));
    result[column] = sum;
  }
  return reinterpret_cast<XmmBytes>(result);
}

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

XmmBytes inverse_mix_columns(XmmBytes state) {
  return mix(state, kUnmix, 0);
}
XmmBytes encrypt_round(XmmBytes state) {
  return mix(state, kEncrypt, 1);
}
XmmBytes decrypt_round(XmmBytes state) {
  return mix(state, kDecrypt, 3);
}

}  // namespace alcove::cpu::soft::aes
