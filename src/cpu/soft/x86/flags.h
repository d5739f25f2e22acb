// The arithmetic flags, computed when someone asks (CF PF AF ZF SF OF), and the other bits of RFLAGS.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace alcove::cpu::soft {

using Flag = uint32_t;
inline constexpr Flag kCf = 1u << 0, kPf = 1u << 2, kAf = 1u << 4, kZf = 1u << 6, kSf = 1u << 7,
                      kTf = 1u << 8, kIf = 1u << 9, kDf = 1u << 10, kOf = 1u << 11, kIopl = 3u << 12,
                      kNt = 1u << 14, kRf = 1u << 16, kVm = 1u << 17, kAc = 1u << 18, kVif = 1u << 19,
                      kVip = 1u << 20, kId = 1u << 21;
inline constexpr uint32_t kArithmeticFlags = kCf | kPf | kAf | kZf | kSf | kOf;

// An operation leaves its result, sign-extended to 64 bits, and the carries out of the three bit positions
// that flags depend on. `carries_`: bit 63 = carry out of the top bit (CF), bit 62 = carry into the top bit
// (OF = bit 63 ^ bit 62), bit 3 = carry out of bit 3 (AF). So that every combination can be set, bit 9
// inverts SF and bits 16-23 are added (xor) to the byte whose parity is PF.
class Flags {
 public:
  // `carries` has, for each bit position, the carry out of it: (a & b) | ((a | b) & ~sum) for an addition,
  // (~a & b) | ((~a | b) & difference) for a subtraction.
  template <class T>
  void set_arithmetic(T result, T carries) {
    result_ = sign_extend(result);
    carries_ = ((static_cast<uint64_t>(carries) << (64 - 8 * sizeof(T))) & kTop) | (carries & 8);
  }
  // CF = OF = AF = 0.
  template <class T>
  void set_logic(T result) {
    result_ = sign_extend(result);
    carries_ = 0;
  }

  // AF = 0.
  template <class T>
  void set_result(T result, bool cf, bool of) {
    result_ = sign_extend(result);
    carries_ = (uint64_t{cf} << 63) | (uint64_t{cf != of} << 62);
  }

  bool cf() const { return carries_ >> 63; }
  bool of() const { return ((carries_ >> 62) ^ (carries_ >> 63)) & 1; }
  bool af() const { return carries_ & 8; }
  bool zf() const { return result_ == 0; }
  bool sf() const { return ((result_ >> 63) ^ (carries_ >> 9)) & 1; }
  bool pf() const { return (std::popcount(static_cast<uint8_t>(result_ ^ (carries_ >> 16))) & 1) == 0; }

  void set_cf(bool cf) { set_cf_of(cf, of()); }
  void set_of(bool of) { set_cf_of(cf(), of); }
  void set_cf_of(bool cf, bool of) {
    carries_ = (carries_ & ~kTop) | (uint64_t{cf} << 63) | (uint64_t{cf != of} << 62);
  }
  void set_zf(bool zf) { set_arithmetic_bits((arithmetic_bits() & ~kZf) | (zf ? kZf : 0)); }

  // A condition code as in Jcc, SETcc and CMOVcc (Intel SDM vol. 1, appendix B). Best a constant.
  [[gnu::always_inline]] bool condition(unsigned code) const {
    bool value = false;
    switch (code >> 1) {
      case 0:
        value = of();
        break;
      case 1:
        value = cf();
        break;
      case 2:
        value = zf();
        break;
      case 3:
        value = cf() || zf();
        break;
      case 4:
        value = sf();
        break;
      case 5:
        value = pf();
        break;
      case 6:
        value = sf() != of();
        break;
      case 7:
        value = zf() || sf() != of();
        break;
    }
    return value != static_cast<bool>(code & 1);
  }

  uint32_t arithmetic_bits() const {
    return (cf() ? kCf : 0) | (pf() ? kPf : 0) | (af() ? kAf : 0) | (zf() ? kZf : 0) | (sf() ? kSf : 0) |
           (of() ? kOf : 0);
  }
  void set_arithmetic_bits(uint32_t bits) {
    result_ = bits & kZf ? 0 : 1;
    const bool natural_pf = bits & kZf;  // The parity of 0 is even, that of 1 odd.
    carries_ = (bits & kAf ? 8 : 0) | (bits & kSf ? 1u << 9 : 0) |
               (natural_pf != static_cast<bool>(bits & kPf) ? 1u << 16 : 0);
    set_cf_of(bits & kCf, bits & kOf);
  }

  // RFLAGS whole. Bit 1 is always set.
  uint32_t value() const { return system_ | 2 | arithmetic_bits(); }
  void set_value(uint32_t value) {
    set_arithmetic_bits(value);
    system_ = value & ~kArithmeticFlags & ~2u;
  }
  // The bits that are not arithmetic: TF IF DF IOPL NT RF VM AC VIF VIP ID.
  uint32_t system() const { return system_; }
  bool test(Flag flag) const { return system_ & flag; }
  static constexpr size_t system_offset() { return offsetof(Flags, system_); }
  void set(Flag flag, bool on) { system_ = on ? system_ | flag : system_ & ~flag; }

 private:
  static constexpr uint64_t kTop = uint64_t{3} << 62;

  template <class T>
  static uint64_t sign_extend(T value) {
    if constexpr (sizeof(T) == 1)
      return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int8_t>(value)));
    if constexpr (sizeof(T) == 2)
      return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int16_t>(value)));
    if constexpr (sizeof(T) == 4)
      return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(value)));
    return value;
  }

  uint64_t result_ = 1;
  uint64_t carries_ = 1u << 16;
  uint32_t system_ = 0;
};

}  // namespace alcove::cpu::soft
