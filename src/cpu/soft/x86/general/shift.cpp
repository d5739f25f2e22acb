// Shifts and rotates.
#include <bit>
#include <type_traits>

#include "cpu/soft/x86/general/forms.h"
#include "cpu/soft/x86/general/groups.h"

namespace alcove::cpu::soft {
namespace {

template <class T>
inline constexpr unsigned kBits = 8 * sizeof(T);

template <class T>
bool top_bit(T value) {
  return value >> (kBits<T> - 1) & 1;
}
template <class T>
bool bit(T value, unsigned number) {
  return value >> number & 1;
}

// Results of a shift by a count that is not 0 after masking.
template <class T>
struct Shifted {
  T value;
  bool cf;
  bool of;
};

struct Shl {
  static constexpr bool kRotates = false;
  template <class T>
  static Shifted<T> compute(T value, unsigned count, bool) {
    T result;
    bool cf;
    if constexpr (sizeof(T) == 8) {
      result = value << count;
      cf = bit(value, 64 - count);
    } else {
      const uint64_t wide = uint64_t{value} << count;
      result = static_cast<T>(wide);
      cf = bit(wide, kBits<T>);
    }
    return {result, cf, top_bit(result) != cf};
  }
};

struct Shr {
  static constexpr bool kRotates = false;
  template <class T>
  static Shifted<T> compute(T value, unsigned count, bool) {
    const uint64_t wide = value;
    const auto result = static_cast<T>(wide >> count);
    return {result, bit(wide, count - 1), static_cast<bool>(top_bit(value))};
  }
};

struct Sar {
  static constexpr bool kRotates = false;
  template <class T>
  static Shifted<T> compute(T value, unsigned count, bool) {
    const int64_t wide = static_cast<std::make_signed_t<T>>(value);
    return {static_cast<T>(wide >> count), static_cast<bool>(wide >> (count - 1) & 1), false};
  }
};

struct Rol {
  static constexpr bool kRotates = true;
  template <class T>
  static Shifted<T> compute(T value, unsigned count, bool) {
    const T result = std::rotl(value, static_cast<int>(count % kBits<T>));
    const bool cf = result & 1;
    return {result, cf, top_bit(result) != cf};
  }
};

struct Ror {
  static constexpr bool kRotates = true;
  template <class T>
  static Shifted<T> compute(T value, unsigned count, bool) {
    const T result = std::rotr(value, static_cast<int>(count % kBits<T>));
    const bool cf = top_bit(result);
    return {result, cf, bit(result, kBits<T> - 2) != cf};
  }
};

// Rotations through the carry flag turn a value that is one bit longer.
template <class T>
using WithCarry = std::conditional_t<sizeof(T) == 8, unsigned __int128, uint64_t>;

template <class T>
WithCarry<T> rotate_left_with_carry(T value, unsigned count, bool carry) {
  constexpr unsigned bits = kBits<T> + 1;
  constexpr auto mask = static_cast<WithCarry<T>>((WithCarry<T>{1} << bits) - 1);
  const auto wide = static_cast<WithCarry<T>>(WithCarry<T>{carry} << kBits<T> | value);
  count %= bits;
  return count == 0 ? wide : (wide << count | wide >> (bits - count)) & mask;
}

struct Rcl {
  static constexpr bool kRotates = true;
  template <class T>
  static Shifted<T> compute(T value, unsigned count, bool carry) {
    const auto wide = rotate_left_with_carry(value, count, carry);
    const auto result = static_cast<T>(wide);
    const bool cf = static_cast<bool>(wide >> kBits<T> & 1);
    return {result, cf, top_bit(result) != cf};
  }
};

struct Rcr {
  static constexpr bool kRotates = true;
  template <class T>
  static Shifted<T> compute(T value, unsigned count, bool carry) {
    constexpr unsigned bits = kBits<T> + 1;
    const auto wide = rotate_left_with_carry(value, bits - count % bits, carry);
    const auto result = static_cast<T>(wide);
    return {result, static_cast<bool>(wide >> kBits<T> & 1), top_bit(result) != bit(result, kBits<T> - 2)};
  }
};

struct ByImmediate {
  static unsigned count(const Cpu&, const Insn& insn) { return static_cast<unsigned>(insn.immediate); }
};
struct ByOne {
  static unsigned count(const Cpu&, const Insn&) { return 1; }
};
struct ByCl {
  static unsigned count(const Cpu& cpu, const Insn&) { return static_cast<unsigned>(cpu.gpr[rcx]); }
};

template <class Operation, class Count>
struct Shift {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const unsigned count = Count::count(cpu, insn) & (sizeof(T) == 8 ? 63 : 31);
    if (count == 0) [[unlikely]] {
      Form::template update<T>(cpu, insn, [](T value) { return value; });
      return;
    }
    const bool carry = cpu.flags.cf();
    const T old = Form::template update<T>(
        cpu, insn, [=](T value) { return Operation::template compute<T>(value, count, carry).value; });
    const Shifted<T> shifted = Operation::template compute<T>(old, count, carry);
    if constexpr (Operation::kRotates)
      cpu.flags.set_cf_of(shifted.cf, shifted.of);
    else
      cpu.flags.set_result<T>(shifted.value, shifted.cf, shifted.of);
  }
};

// E:reg as one value, shifted. The 16-bit forms put E on both sides, which gives counts above 16 (whose
// results the architecture leaves undefined) the meaning of a rotation.
struct Shld {
  template <class T>
  static Shifted<T> compute(T value, T filler, unsigned count) {
    T result;
    bool cf;
    if constexpr (sizeof(T) == 2) {
      const uint64_t wide = uint64_t{value} << 32 | uint64_t{filler} << 16 | value;
      result = static_cast<T>(wide << count >> 32);
      cf = bit(wide, 48 - count);
    } else {
      result = static_cast<T>(value << count | filler >> (kBits<T> - count));
      cf = bit(value, kBits<T> - count);
    }
    return {result, cf, top_bit(result) != top_bit(value)};
  }
};

struct Shrd {
  template <class T>
  static Shifted<T> compute(T value, T filler, unsigned count) {
    T result;
    if constexpr (sizeof(T) == 2)
      result = static_cast<T>((uint64_t{value} << 32 | uint64_t{filler} << 16 | value) >> count);
    else
      result = static_cast<T>(value >> count | filler << (kBits<T> - count));
    const bool cf = sizeof(T) == 2 && count > 16 ? bit(filler, count - 17) : bit(value, count - 1);
    return {result, cf, top_bit(result) != top_bit(value)};
  }
};

template <class Operation, class Count>
struct DoubleShift {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const unsigned count = Count::count(cpu, insn) & (sizeof(T) == 8 ? 63 : 31);
    if (count == 0) {
      Form::template update<T>(cpu, insn, [](T value) { return value; });
      return;
    }
    const T filler = read_reg<T>(cpu, insn);
    const T old = Form::template update<T>(
        cpu, insn, [=](T value) { return Operation::template compute<T>(value, filler, count).value; });
    const Shifted<T> shifted = Operation::template compute<T>(old, filler, count);
    cpu.flags.set_result<T>(shifted.value, shifted.cf, shifted.of);
  }
};

// With a count of 0 no flag changes; OF is defined for a count of 1 only, CF up to the operand's width
// (undefined.cpp).
constexpr FlagEffects kShiftFlags{.written = kArithmeticFlags, .undefined = kAf};
constexpr FlagEffects kRotateFlags{.written = kCf | kOf};
constexpr FlagEffects kRotateCarryFlags{.written = kCf | kOf, .read = kCf};

#define ALCOVE_SHIFT_ROWS(name, Operation, digit, effects)                           \
  {name, "C0 " digit, "Eb,Ib", pick<Shift<Operation, ByImmediate>>, 0, effects},     \
      {name, "C1 " digit, "Ev,Ib", pick<Shift<Operation, ByImmediate>>, 0, effects}, \
      {name, "D0 " digit, "Eb,1", pick<Shift<Operation, ByOne>>, 0, effects},        \
      {name, "D1 " digit, "Ev,1", pick<Shift<Operation, ByOne>>, 0, effects},        \
      {name, "D2 " digit, "Eb,CL", pick<Shift<Operation, ByCl>>, 0, effects}, {      \
    name, "D3 " digit, "Ev,CL", pick<Shift<Operation, ByCl>>, 0, effects             \
  }

const Row kRows[] = {
    ALCOVE_SHIFT_ROWS("rol", Rol, "/0", kRotateFlags),
    ALCOVE_SHIFT_ROWS("ror", Ror, "/1", kRotateFlags),
    ALCOVE_SHIFT_ROWS("rcl", Rcl, "/2", kRotateCarryFlags),
    ALCOVE_SHIFT_ROWS("rcr", Rcr, "/3", kRotateCarryFlags),
    ALCOVE_SHIFT_ROWS("shl", Shl, "/4", kShiftFlags),
    ALCOVE_SHIFT_ROWS("shr", Shr, "/5", kShiftFlags),
    ALCOVE_SHIFT_ROWS("shl", Shl, "/6", kShiftFlags),
    ALCOVE_SHIFT_ROWS("sar", Sar, "/7", kShiftFlags),
    {"shld", "0F A4 /r", "Ev,Gv,Ib", pick_wide<DoubleShift<Shld, ByImmediate>>, 0, kShiftFlags},
    {"shld", "0F A5 /r", "Ev,Gv,CL", pick_wide<DoubleShift<Shld, ByCl>>, 0, kShiftFlags},
    {"shrd", "0F AC /r", "Ev,Gv,Ib", pick_wide<DoubleShift<Shrd, ByImmediate>>, 0, kShiftFlags},
    {"shrd", "0F AD /r", "Ev,Gv,CL", pick_wide<DoubleShift<Shrd, ByCl>>, 0, kShiftFlags},
};

}  // namespace

std::span<const Row> shift_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
