// Bits by position, field and mask (LZCNT, BMI1, BMI2), and what else compilers like: two chains of carries
// (ADX) and byte-swapping moves (MOVBE).
#include <bit>
#include <type_traits>

#include "cpu/soft/x86/general/forms.h"
#include "cpu/soft/x86/general/groups.h"

namespace alcove::cpu::soft {
namespace {

template <class T>
constexpr unsigned kBits = 8 * sizeof(T);

// CF = a condition, OF = 0, the others as a logical operation sets them.
template <class T>
void set_flags(Cpu& cpu, T result, bool carry) {
  cpu.flags.set_result(result, carry, false);
}

template <bool kLeading>
struct CountZeros {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T source = Form::template read<T>(cpu, insn);
    const auto count = static_cast<T>(kLeading ? std::countl_zero(source) : std::countr_zero(source));
    write_reg<T>(cpu, insn, count);
    cpu.flags.set_arithmetic_bits((source == 0 ? kCf : 0) | (count == 0 ? kZf : 0));
  }
};

struct Andn {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T result = static_cast<T>(~read_gpr<T>(cpu, insn.vvvv)) & Form::template read<T>(cpu, insn);
    write_reg<T>(cpu, insn, result);
    set_flags(cpu, result, false);
  }
};

struct Bextr {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T source = Form::template read<T>(cpu, insn);
    const T control = read_gpr<T>(cpu, insn.vvvv);
    const unsigned start = control & 0xff, length = control >> 8 & 0xff;
    T result = start < kBits<T> ? static_cast<T>(source >> start) : T{0};
    if (length < kBits<T>) result &= static_cast<T>((T{1} << length) - 1);
    write_reg<T>(cpu, insn, result);
    set_flags(cpu, result, false);
  }
};

struct Bzhi {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    T result = Form::template read<T>(cpu, insn);
    const unsigned count = read_gpr<T>(cpu, insn.vvvv) & 0xff;
    if (count < kBits<T>) result &= static_cast<T>((T{1} << count) - 1);
    write_reg<T>(cpu, insn, result);
    set_flags(cpu, result, count >= kBits<T>);
  }
};

// Of the lowest set bit: it alone, all up to it, all but it.
struct IsolateLowest {
  template <class T>
  static T of(T source) {
    return source & static_cast<T>(T{0} - source);
  }
  static constexpr bool kCarryIfZero = false;
};
struct MaskToLowest {
  template <class T>
  static T of(T source) {
    return source ^ static_cast<T>(source - 1);
  }
  static constexpr bool kCarryIfZero = true;
};
struct ResetLowest {
  template <class T>
  static T of(T source) {
    return source & static_cast<T>(source - 1);
  }
  static constexpr bool kCarryIfZero = true;
};
template <class Operation>
struct LowestBit {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T source = Form::template read<T>(cpu, insn);
    const T result = Operation::template of<T>(source);
    write_gpr<T>(cpu, insn.vvvv, result);
    set_flags(cpu, result, (source == 0) == Operation::kCarryIfZero);
  }
};

struct Mulx {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const auto product =
        static_cast<unsigned __int128>(read_gpr<T>(cpu, rdx)) * Form::template read<T>(cpu, insn);
    write_gpr<T>(cpu, insn.vvvv, static_cast<T>(product));
    write_reg<T>(cpu, insn, static_cast<T>(product >> kBits<T>));  // Last, if both are the same.
  }
};

struct Pdep {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    T source = read_gpr<T>(cpu, insn.vvvv), result = 0;
    for (T mask = Form::template read<T>(cpu, insn); mask != 0; mask &= mask - 1, source >>= 1)
      if (source & 1) result |= mask & (T{0} - mask);
    write_reg<T>(cpu, insn, result);
  }
};
struct Pext {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T source = read_gpr<T>(cpu, insn.vvvv);
    T result = 0, bit = 1;
    for (T mask = Form::template read<T>(cpu, insn); mask != 0; mask &= mask - 1, bit <<= 1)
      if (source & mask & (T{0} - mask)) result |= bit;
    write_reg<T>(cpu, insn, result);
  }
};

struct Rorx {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T source = Form::template read<T>(cpu, insn);
    write_reg<T>(cpu, insn, std::rotr(source, static_cast<int>(insn.immediate & (kBits<T> - 1))));
  }
};

struct Left {
  template <class T>
  static T shift(T value, unsigned count) {
    return static_cast<T>(value << count);
  }
};
struct Right {
  template <class T>
  static T shift(T value, unsigned count) {
    return static_cast<T>(value >> count);
  }
};
struct SignedRight {
  template <class T>
  static T shift(T value, unsigned count) {
    return static_cast<T>(static_cast<std::make_signed_t<T>>(value) >> count);
  }
};
template <class Direction>
struct ShiftWithoutFlags {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T source = Form::template read<T>(cpu, insn);
    const unsigned count = read_gpr<T>(cpu, insn.vvvv) & (kBits<T> - 1);
    write_reg<T>(cpu, insn, Direction::template shift<T>(source, count));
  }
};

// ADCX and ADOX: an addition whose carry goes through one flag and leaves all others alone.
template <bool kOverflow>
struct AddWithOneFlag {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T source = Form::template read<T>(cpu, insn);
    const bool carry = kOverflow ? cpu.flags.of() : cpu.flags.cf();
    T sum = 0;
    const bool first = __builtin_add_overflow(read_reg<T>(cpu, insn), source, &sum);
    const bool second = __builtin_add_overflow(sum, T{carry}, &sum);
    write_reg<T>(cpu, insn, sum);
    if (kOverflow)
      cpu.flags.set_of(first || second);
    else
      cpu.flags.set_cf(first || second);
  }
};

template <class T>
T swap_bytes(T value) {
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
}
struct LoadSwapped {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    write_reg<T>(cpu, insn, swap_bytes(Form::template read<T>(cpu, insn)));
  }
};
struct StoreSwapped {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    Form::template write<T>(cpu, insn, swap_bytes(read_reg<T>(cpu, insn)));
  }
};

// For operands of 4 or 8 bytes.
template <class Kind>
Handler pick_y(const Insn& insn) {
  return insn.operand_size == 8 ? pick_form<Kind, uint64_t>(insn) : pick_form<Kind, uint32_t>(insn);
}

constexpr FlagEffects kCounts{.written = kArithmeticFlags, .undefined = kOf | kSf | kPf | kAf};
constexpr FlagEffects kFields{.written = kArithmeticFlags, .undefined = kSf | kPf | kAf};
constexpr FlagEffects kResults{.written = kArithmeticFlags, .undefined = kPf | kAf};

template <class Kind>
constexpr Row field(const char* mnemonic, const char* encoding, const char* operands, const char* feature,
                    FlagEffects effects = {}) {
  return {mnemonic, encoding, operands, pick_y<Kind>, kProtected, effects, feature};
}

const Row kRows[] = {
    {"tzcnt", "F3 0F BC /r", "Gv,Ev", pick_wide<CountZeros<false>>, 0, kCounts, "bmi1"},
    {"lzcnt", "F3 0F BD /r", "Gv,Ev", pick_wide<CountZeros<true>>, 0, kCounts, "abm"},
    field<Andn>("andn", "VEX.128.0F38 F2 /r", "Gy,By,Ey", "bmi1", kResults),
    field<LowestBit<ResetLowest>>("blsr", "VEX.128.0F38 F3 /1", "By,Ey", "bmi1", kResults),
    field<LowestBit<MaskToLowest>>("blsmsk", "VEX.128.0F38 F3 /2", "By,Ey", "bmi1", kResults),
    field<LowestBit<IsolateLowest>>("blsi", "VEX.128.0F38 F3 /3", "By,Ey", "bmi1", kResults),
    field<Bextr>("bextr", "VEX.128.0F38 F7 /r", "Gy,Ey,By", "bmi1", kFields),
    field<Bzhi>("bzhi", "VEX.128.0F38 F5 /r", "Gy,Ey,By", "bmi2", kResults),
    field<Pdep>("pdep", "VEX.128.F2.0F38 F5 /r", "Gy,By,Ey", "bmi2"),
    field<Pext>("pext", "VEX.128.F3.0F38 F5 /r", "Gy,By,Ey", "bmi2"),
    field<Mulx>("mulx", "VEX.128.F2.0F38 F6 /r", "Gy,By,Ey", "bmi2"),
    field<ShiftWithoutFlags<Left>>("shlx", "VEX.128.66.0F38 F7 /r", "Gy,Ey,By", "bmi2"),
    field<ShiftWithoutFlags<SignedRight>>("sarx", "VEX.128.F3.0F38 F7 /r", "Gy,Ey,By", "bmi2"),
    field<ShiftWithoutFlags<Right>>("shrx", "VEX.128.F2.0F38 F7 /r", "Gy,Ey,By", "bmi2"),
    field<Rorx>("rorx", "VEX.128.F2.0F3A F0 /r", "Gy,Ey,Ib", "bmi2"),
    {"adcx",
     "66 0F 38 F6 /r",
     "Gy,Ey",
     pick_y<AddWithOneFlag<false>>,
     0,
     {.written = kCf, .read = kCf},
     "adx"},
    {"adox",
     "F3 0F 38 F6 /r",
     "Gy,Ey",
     pick_y<AddWithOneFlag<true>>,
     0,
     {.written = kOf, .read = kOf},
     "adx"},
    {"movbe", "NP 0F 38 F0 /r mem", "Gv,Mv", pick_wide<LoadSwapped>, 0, {}, "movbe"},
    {"movbe", "66 0F 38 F0 /r mem", "Gv,Mv", pick_wide<LoadSwapped>, 0, {}, "movbe"},
    {"movbe", "NP 0F 38 F1 /r mem", "Mv,Gv", pick_wide<StoreSwapped>, 0, {}, "movbe"},
    {"movbe", "66 0F 38 F1 /r mem", "Mv,Gv", pick_wide<StoreSwapped>, 0, {}, "movbe"},
};

}  // namespace

std::span<const Row> bit_field_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
