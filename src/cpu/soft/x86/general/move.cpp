// Moves, extensions, addresses and conditional moves.
#include <array>
#include <type_traits>
#include <utility>

#include "cpu/soft/x86/general/forms.h"
#include "cpu/soft/x86/general/groups.h"

namespace alcove::cpu::soft {
namespace {

struct MovRmReg {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    Form::template write<T>(cpu, insn, read_reg<T>(cpu, insn));
  }
};

struct MovRegRm {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    write_reg<T>(cpu, insn, Form::template read<T>(cpu, insn));
  }
};

struct MovRmImmediate {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    Form::template write<T>(cpu, insn, static_cast<T>(insn.immediate));
  }
};

struct MovRegImmediate {
  template <class T>
  static void execute(Cpu& cpu, const Insn& insn) {
    write_reg<T>(cpu, insn, static_cast<T>(insn.immediate));
  }
};

template <class Source>
struct Extend {
  using Narrow = std::make_unsigned_t<Source>;
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const auto source = static_cast<Source>(Form::template read<Narrow>(cpu, insn));
    write_reg<T>(
        cpu, insn,
        static_cast<T>(static_cast<std::conditional_t<std::is_signed_v<Source>, int64_t, uint64_t>>(source)));
  }
};

struct Lea {
  template <class T>
  static void execute(Cpu& cpu, const Insn& insn) {
    write_reg<T>(cpu, insn, static_cast<T>(effective_offset(cpu, insn)));
  }
};

template <unsigned code>
struct Cmov {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T source = Form::template read<T>(cpu, insn);  // Also faults if it is not needed.
    const T old = read_reg<T>(cpu, insn);
    write_reg<T>(cpu, insn, cpu.flags.condition(code) ? source : old);
  }
};

template <unsigned code>
struct Setcc {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    Form::template write<T>(cpu, insn, cpu.flags.condition(code));
  }
};

using Select = Handler (*)(const Insn&);

template <unsigned... codes>
constexpr std::array<Select, 16> cmov_selects(std::integer_sequence<unsigned, codes...>) {
  return {pick_wide<Cmov<codes>>...};
}
template <unsigned... codes>
constexpr std::array<Select, 16> setcc_selects(std::integer_sequence<unsigned, codes...>) {
  return {pick_form<Setcc<codes>, uint8_t>...};
}

Handler select_cmov(const Insn& insn) {
  static constexpr auto selects = cmov_selects(std::make_integer_sequence<unsigned, 16>());
  return selects[insn.opcode & 15](insn);
}
Handler select_setcc(const Insn& insn) {
  static constexpr auto selects = setcc_selects(std::make_integer_sequence<unsigned, 16>());
  return selects[insn.opcode & 15](insn);
}

// The accumulator's lower half, sign-extended.
struct Cbw {
  template <class T>
  static void execute(Cpu& cpu, const Insn&) {
    using Half =
        std::conditional_t<sizeof(T) == 8, int32_t, std::conditional_t<sizeof(T) == 4, int16_t, int8_t>>;
    write_gpr<T>(cpu, rax, static_cast<T>(static_cast<Half>(cpu.gpr[rax])));
  }
};

// The accumulator's sign, all over rDX.
struct Cwd {
  template <class T>
  static void execute(Cpu& cpu, const Insn&) {
    const auto value = static_cast<std::make_signed_t<T>>(cpu.gpr[rax]);
    write_gpr<T>(cpu, rdx, static_cast<T>(value < 0 ? -1 : 0));
  }
};

void execute_xlat(Cpu& cpu, const Insn& insn) {
  uint64_t offset = cpu.gpr[rbx] + static_cast<uint8_t>(cpu.gpr[rax]);
  if (insn.address_size != 8)
    offset = insn.address_size == 4 ? static_cast<uint32_t>(offset) : static_cast<uint16_t>(offset);
  const uint64_t address =
      cpu.flat ? cpu.segment_base[insn.segment] + offset : check_segment(cpu, insn.segment, offset, 1, false);
  write_gpr<uint8_t>(cpu, rax, load<uint8_t>(cpu, address));
}

constexpr FlagEffects kReadsFlags{.read = kArithmeticFlags & ~kAf};

const Row kRows[] = {
    {"mov", "88 /r", "Eb,Gb", pick<MovRmReg>},
    {"mov", "89 /r", "Ev,Gv", pick<MovRmReg>},
    {"mov", "8A /r", "Gb,Eb", pick<MovRegRm>},
    {"mov", "8B /r", "Gv,Ev", pick<MovRegRm>},
    {"mov", "A0", "AL,Ob", pick<MovRegRm>},
    {"mov", "A1", "rAX,Ov", pick<MovRegRm>},
    {"mov", "A2", "Ob,AL", pick<MovRmReg>},
    {"mov", "A3", "Ov,rAX", pick<MovRmReg>},
    {"mov", "B0+r", "Zb,Ib", pick_size<MovRegImmediate>},
    {"mov", "B8+r", "Zv,Iv", pick_size<MovRegImmediate>},
    {"mov", "C6 /0", "Eb,Ib", pick<MovRmImmediate>},
    {"mov", "C7 /0", "Ev,Iz", pick<MovRmImmediate>},
    {"movnti", "NP 0F C3 /r", "My,Gy", pick_wide<MovRmReg>, 0, {}, "sse2"},
    {"movzx", "0F B6 /r", "Gv,Eb", pick_wide<Extend<uint8_t>>},
    {"movzx", "0F B7 /r", "Gv,Ew", pick_wide<Extend<uint16_t>>},
    {"movsx", "0F BE /r", "Gv,Eb", pick_wide<Extend<int8_t>>},
    {"movsx", "0F BF /r", "Gv,Ew", pick_wide<Extend<int16_t>>},
    {"movsxd", "63 /r", "Gv,Ed", pick_wide<Extend<int32_t>>, kOnly64},
    {"lea", "8D /r", "Gv,Mm", pick_wide_size<Lea>},
    {"cmov", "0F 40+cc /r", "Gv,Ev", select_cmov, 0, kReadsFlags},
    {"set", "0F 90+cc /r", "Eb", select_setcc, 0, kReadsFlags},
    {"cbw|cwde|cdqe", "98", "", pick_wide_size<Cbw>},
    {"cwd|cdq|cqo", "99", "", pick_wide_size<Cwd>},
    {"xlatb", "D7", "", always<execute_xlat>},
};

}  // namespace

std::span<const Row> move_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
