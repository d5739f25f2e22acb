// XCHG, XADD and compare-and-exchange.
#include "cpu/soft/x86/general/forms.h"
#include "cpu/soft/x86/general/groups.h"

namespace alcove::cpu::soft {
namespace {

// With memory it is atomic also without LOCK.
struct Xchg {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T value = read_reg<T>(cpu, insn);
    T old;
    if constexpr (Form::kIsMemory)
      old = modify<T>(cpu, linear_address(cpu, insn, sizeof(T), true), true, [=](T) { return value; });
    else
      old = Form::template update<T>(cpu, insn, [=](T) { return value; });
    write_reg<T>(cpu, insn, old);
  }
};

struct XchgAccumulator {
  template <class T>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T value = read_reg<T>(cpu, insn);
    write_reg<T>(cpu, insn, read_gpr<T>(cpu, rax));
    write_gpr<T>(cpu, rax, value);
  }
};

void execute_nothing(Cpu&, const Insn&) {}
void execute_pause(Cpu&, const Insn&) {
  __builtin_ia32_pause();
}

// 90 without REX.B is NOP: in 64-bit mode it does not even clear the upper half of RAX. With F3 it is PAUSE.
Handler select_xchg_accumulator(const Insn& insn) {
  if (insn.reg != rax) return pick_wide_size<XchgAccumulator>(insn);
  return insn.rep ? threaded<execute_pause> : threaded<execute_nothing>;
}

template <class T>
void set_sum_flags(Cpu& cpu, T a, T b) {
  const auto sum = static_cast<T>(a + b);
  cpu.flags.set_arithmetic<T>(sum, static_cast<T>((a & b) | ((a | b) & ~sum)));
}
template <class T>
void set_difference_flags(Cpu& cpu, T a, T b) {
  const auto difference = static_cast<T>(a - b);
  cpu.flags.set_arithmetic<T>(difference, static_cast<T>((~a & b) | ((~a | b) & difference)));
}

struct Xadd {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T addend = read_reg<T>(cpu, insn);
    const T old =
        Form::template update<T>(cpu, insn, [=](T value) { return static_cast<T>(value + addend); });
    write_reg<T>(cpu, insn, old);
    if constexpr (!Form::kIsMemory)  // XADD of a register to itself leaves the sum.
      Form::template write<T>(cpu, insn, static_cast<T>(old + addend));
    set_sum_flags<T>(cpu, old, addend);
  }
};

struct Cmpxchg {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T expected = read_gpr<T>(cpu, rax);
    const T desired = read_reg<T>(cpu, insn);
    T old;
    if constexpr (Form::kIsMemory) {
      old = Form::template update<T>(cpu, insn, [=](T value) { return value == expected ? desired : value; });
    } else {
      old = Form::template read<T>(cpu, insn);
      if (old == expected)  // Otherwise the register keeps its upper half.
        Form::template write<T>(cpu, insn, desired);
    }
    if (old != expected) write_gpr<T>(cpu, rax, old);
    set_difference_flags<T>(cpu, expected, old);
  }
};

template <class Half, class Whole>
void execute_cmpxchg_pair(Cpu& cpu, const Insn& insn) {
  constexpr unsigned bits = 8 * sizeof(Half);
  const uint64_t address = linear_address(cpu, insn, sizeof(Whole), true);
  if (sizeof(Whole) == 16 && address % 16 != 0) raise(cpu, kGeneralProtection, 0);
  const auto pair = [&cpu](unsigned high, unsigned low) {
    return static_cast<Whole>(static_cast<Whole>(read_gpr<Half>(cpu, high)) << bits |
                              read_gpr<Half>(cpu, low));
  };
  const Whole expected = pair(rdx, rax);
  const Whole desired = pair(rcx, rbx);
  const Whole old = modify<Whole>(cpu, address, insn.lock,
                                  [=](Whole value) { return value == expected ? desired : value; });
  if (old != expected) {
    write_gpr<Half>(cpu, rax, static_cast<Half>(old));
    write_gpr<Half>(cpu, rdx, static_cast<Half>(old >> bits));
  }
  cpu.flags.set_zf(old == expected);
}

Handler select_cmpxchg_pair(const Insn& insn) {
  if (insn.operand_size == 8) return threaded<execute_cmpxchg_pair<uint64_t, unsigned __int128>>;
  return threaded<execute_cmpxchg_pair<uint32_t, uint64_t>>;
}

template <class T>
T swap_bytes(T value) {
  return sizeof(T) == 8 ? static_cast<T>(__builtin_bswap64(value))
                        : static_cast<T>(__builtin_bswap32(static_cast<uint32_t>(value)));
}

struct Bswap {
  // With 16 bits the result is undefined; processors clear the register.
  template <class T>
  static void execute(Cpu& cpu, const Insn& insn) {
    write_gpr<T>(cpu, insn.reg, sizeof(T) == 2 ? T{0} : swap_bytes<T>(read_gpr<T>(cpu, insn.reg)));
  }
};

const Row kRows[] = {
    {"xchg", "86 /r", "Eb,Gb", pick<Xchg>, kLock},
    {"xchg", "87 /r", "Ev,Gv", pick<Xchg>, kLock},
    {"xchg", "90+r", "Zv,rAX", select_xchg_accumulator},
    {"xadd", "0F C0 /r", "Eb,Gb", pick<Xadd>, kLock, kWritesAll},
    {"xadd", "0F C1 /r", "Ev,Gv", pick<Xadd>, kLock, kWritesAll},
    {"cmpxchg", "0F B0 /r", "Eb,Gb", pick<Cmpxchg>, kLock, kWritesAll},
    {"cmpxchg", "0F B1 /r", "Ev,Gv", pick<Cmpxchg>, kLock, kWritesAll},
    {"cmpxchg8b|cmpxchg8b|cmpxchg16b", "0F C7 /1", "Mm", select_cmpxchg_pair, kLock, {.written = kZf}},
    {"bswap", "0F C8+r", "Zv", pick_wide_size<Bswap>},
};

}  // namespace

std::span<const Row> exchange_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
