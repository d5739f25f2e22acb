// AES-NI and PCLMULQDQ.
#include "cpu/soft/x86/sse/aes.h"
#include "cpu/soft/x86/sse/groups.h"
#include "cpu/soft/x86/sse/lanes.h"
#include "cpu/soft/x86/sse/packed_rows.h"

namespace alcove::cpu::soft {
namespace {

constexpr auto encrypt = [](XmmBytes state, XmmBytes key) { return aes::encrypt_round(state) ^ key; };
constexpr auto encrypt_last = [](XmmBytes state, XmmBytes key) {
  return aes::substitute_and_shift(state) ^ key;
};
constexpr auto decrypt = [](XmmBytes state, XmmBytes key) { return aes::decrypt_round(state) ^ key; };
constexpr auto decrypt_last = [](XmmBytes state, XmmBytes key) {
  return aes::inverse_substitute_and_shift(state) ^ key;
};
constexpr auto inverse_mix = [](XmmBytes state) { return aes::inverse_mix_columns(state); };

uint32_t substitute_word(uint32_t word) {
  uint32_t result = 0;
  for (unsigned shift = 0; shift < 32; shift += 8)
    result |= uint32_t{aes::substitute(static_cast<uint8_t>(word >> shift))} << shift;
  return result;
}
constexpr auto generate_key = [](XmmDwords a, uint8_t constant) {
  const uint32_t first = substitute_word(a[1]);
  const uint32_t second = substitute_word(a[3]);
  return XmmDwords{first, std::rotr(first, 8) ^ constant, second, std::rotr(second, 8) ^ constant};
};

// The product of one quadword of each operand, as polynomials over GF(2); four bits of y at a time.
constexpr auto multiply_carryless = [](Xmm a, Xmm b, uint8_t control) {
  using Wide = unsigned __int128;
  const uint64_t x = a[control & 1];
  const uint64_t y = b[control >> 4 & 1];
  Wide multiples[16] = {0, x};
  for (unsigned i = 2; i < 16; i += 2) {
    multiples[i] = multiples[i / 2] << 1;
    multiples[i + 1] = multiples[i] ^ x;
  }
  Wide product = 0;
  for (int shift = 60; shift >= 0; shift -= 4) product = product << 4 ^ multiples[y >> shift & 15];
  return Xmm{static_cast<uint64_t>(product), static_cast<uint64_t>(product >> 64)};
};

constexpr Row kRows[] = {
    ALCOVE_PACKED_XMM("aesimc", "38 DB", Unary, inverse_mix, uint8_t, "aes"),
    ALCOVE_PACKED_XMM("aesenc", "38 DC", Binary, encrypt, uint8_t, "aes"),
    ALCOVE_PACKED_XMM("aesenclast", "38 DD", Binary, encrypt_last, uint8_t, "aes"),
    ALCOVE_PACKED_XMM("aesdec", "38 DE", Binary, decrypt, uint8_t, "aes"),
    ALCOVE_PACKED_XMM("aesdeclast", "38 DF", Binary, decrypt_last, uint8_t, "aes"),
    ALCOVE_PACKED_XMM_IMMEDIATE("aeskeygenassist", "3A DF", UnaryImmediate, generate_key, uint32_t, "aes"),
    ALCOVE_PACKED_XMM_IMMEDIATE("pclmulqdq", "3A 44", BinaryImmediate, multiply_carryless, uint64_t,
                                "pclmulqdq"),
};

}  // namespace

std::span<const Row> sse_crypto_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
