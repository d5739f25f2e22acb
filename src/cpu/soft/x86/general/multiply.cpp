// Multiplication and division.
#include <limits>
#include <type_traits>

#include "cpu/soft/x86/general/forms.h"
#include "cpu/soft/x86/general/groups.h"

namespace alcove::cpu::soft {
namespace {

template <class T>
using Signed = std::make_signed_t<T>;

// Twice as wide.
template <class T>
struct WideOf;
template <>
struct WideOf<uint8_t> {
  using Type = uint16_t;
  using SignedType = int16_t;
};
template <>
struct WideOf<uint16_t> {
  using Type = uint32_t;
  using SignedType = int32_t;
};
template <>
struct WideOf<uint32_t> {
  using Type = uint64_t;
  using SignedType = int64_t;
};
template <>
struct WideOf<uint64_t> {
  using Type = unsigned __int128;
  using SignedType = __int128;
};
template <class T>
using Wide = typename WideOf<T>::Type;
template <class T>
using SignedWide = typename WideOf<T>::SignedType;

// The double-width operand: AX, DX:AX, EDX:EAX, RDX:RAX.
template <class T>
Wide<T> read_pair(const Cpu& cpu) {
  if constexpr (sizeof(T) == 1)
    return read_gpr<uint16_t>(cpu, rax);
  else
    return static_cast<Wide<T>>(static_cast<Wide<T>>(read_gpr<T>(cpu, rdx)) << 8 * sizeof(T) |
                                read_gpr<T>(cpu, rax));
}
// In bytes, AL and AH.
template <class T>
void write_pair(Cpu& cpu, T low, T high) {
  if constexpr (sizeof(T) == 1) {
    write_gpr<uint16_t>(cpu, rax, static_cast<uint16_t>(low | high << 8));
  } else {
    write_gpr<T>(cpu, rax, low);
    write_gpr<T>(cpu, rdx, high);
  }
}

struct Mul {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const auto product =
        static_cast<Wide<T>>(Wide<T>{read_gpr<T>(cpu, rax)} * Form::template read<T>(cpu, insn));
    const auto high = static_cast<T>(product >> 8 * sizeof(T));
    write_pair<T>(cpu, static_cast<T>(product), high);
    cpu.flags.set_cf_of(high != 0, high != 0);
  }
};

template <class T>
SignedWide<T> signed_product(T a, T b) {
  return static_cast<SignedWide<T>>(SignedWide<T>{static_cast<Signed<T>>(a)} * static_cast<Signed<T>>(b));
}

struct Imul {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const SignedWide<T> product = signed_product<T>(read_gpr<T>(cpu, rax), Form::template read<T>(cpu, insn));
    const bool overflow = product != static_cast<Signed<T>>(product);
    write_pair<T>(cpu, static_cast<T>(product), static_cast<T>(product >> 8 * sizeof(T)));
    cpu.flags.set_cf_of(overflow, overflow);
  }
};

template <class T>
void multiply_into_reg(Cpu& cpu, const Insn& insn, T a, T b) {
  Signed<T> product;
  const bool overflow =
      __builtin_mul_overflow(static_cast<Signed<T>>(a), static_cast<Signed<T>>(b), &product);
  write_reg<T>(cpu, insn, static_cast<T>(product));
  cpu.flags.set_cf_of(overflow, overflow);
}

struct ImulRegRm {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    multiply_into_reg<T>(cpu, insn, read_reg<T>(cpu, insn), Form::template read<T>(cpu, insn));
  }
};

struct ImulImmediate {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    multiply_into_reg<T>(cpu, insn, Form::template read<T>(cpu, insn), static_cast<T>(insn.immediate));
  }
};

struct Div {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T divisor = Form::template read<T>(cpu, insn);
    const Wide<T> dividend = read_pair<T>(cpu);
    if (static_cast<T>(dividend >> 8 * sizeof(T)) >= divisor)  // The quotient does not fit, or divisor is 0.
      raise(cpu, kDivide);
    // The compiler divides 128 bits by a function call.
    if (dividend == static_cast<uint64_t>(dividend)) {
      const auto narrow = static_cast<uint64_t>(dividend);
      write_pair<T>(cpu, static_cast<T>(narrow / divisor), static_cast<T>(narrow % divisor));
    } else {
      write_pair<T>(cpu, static_cast<T>(dividend / divisor), static_cast<T>(dividend % divisor));
    }
  }
};

struct Idiv {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const auto divisor = static_cast<Signed<T>>(Form::template read<T>(cpu, insn));
    const auto dividend = static_cast<SignedWide<T>>(read_pair<T>(cpu));
    constexpr auto lowest = static_cast<SignedWide<T>>(SignedWide<T>{1} << (16 * sizeof(T) - 2) << 1);
    if (divisor == 0 || (divisor == -1 && dividend == lowest)) raise(cpu, kDivide);
    if (divisor != -1 && dividend == static_cast<int64_t>(dividend)) {
      divide<T, int64_t>(cpu, static_cast<int64_t>(dividend), divisor);
    } else {
      divide<T, __int128>(cpu, dividend, divisor);
    }
  }

 private:
  template <class T, class Number>
  static void divide(Cpu& cpu, Number dividend, Number divisor) {
    const Number quotient = dividend / divisor;
    if (quotient != static_cast<Signed<T>>(quotient)) raise(cpu, kDivide);
    write_pair<T>(cpu, static_cast<T>(quotient), static_cast<T>(dividend % divisor));
  }
};

constexpr FlagEffects kProduct{.written = kArithmeticFlags, .undefined = kPf | kAf | kZf | kSf};
constexpr FlagEffects kQuotient{.written = kArithmeticFlags, .undefined = kArithmeticFlags};

const Row kRows[] = {
    {"mul", "F6 /4", "Eb", pick<Mul>, 0, kProduct},
    {"mul", "F7 /4", "Ev", pick<Mul>, 0, kProduct},
    {"imul", "F6 /5", "Eb", pick<Imul>, 0, kProduct},
    {"imul", "F7 /5", "Ev", pick<Imul>, 0, kProduct},
    {"div", "F6 /6", "Eb", pick<Div>, 0, kQuotient},
    {"div", "F7 /6", "Ev", pick<Div>, 0, kQuotient},
    {"idiv", "F6 /7", "Eb", pick<Idiv>, 0, kQuotient},
    {"idiv", "F7 /7", "Ev", pick<Idiv>, 0, kQuotient},
    {"imul", "0F AF /r", "Gv,Ev", pick_wide<ImulRegRm>, 0, kProduct},
    {"imul", "69 /r", "Gv,Ev,Iz", pick_wide<ImulImmediate>, 0, kProduct},
    {"imul", "6B /r", "Gv,Ev,sIb", pick_wide<ImulImmediate>, 0, kProduct},
};

}  // namespace

std::span<const Row> multiply_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
