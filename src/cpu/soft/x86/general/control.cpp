// Near branches, calls and returns; conditions and loops.
#include <array>
#include <utility>

#include "cpu/soft/x86/general/forms.h"
#include "cpu/soft/x86/general/groups.h"
#include "cpu/soft/x86/general/stack.h"

namespace alcove::cpu::soft {
namespace {

// The target of a near branch of that operand size, checked: canonical, or within CS.
template <class T>
uint64_t checked_target(Cpu& cpu, uint64_t target) {
  if constexpr (sizeof(T) == 8) {
    if (static_cast<uint64_t>(static_cast<int64_t>(target << 16) >> 16) != target) [[unlikely]]
      raise(cpu, kGeneralProtection, 0);
    return target;
  } else {
    const auto offset = static_cast<T>(target);
    if (offset > cpu.segments[cs].limit) [[unlikely]]
      raise(cpu, kGeneralProtection, 0);
    return offset;
  }
}

// Where a relative branch leads. A target that is not canonical is left to the fetch, which faults there.
template <class T>
uint64_t relative_target(Cpu& cpu, const Insn& insn) {
  const uint64_t target = cpu.gpr[kRipRegister] + static_cast<uint64_t>(insn.displacement);
  return sizeof(T) == 8 ? target : checked_target<T>(cpu, target);
}

struct JumpRelative : EndsBlock {
  template <class T>
  static void execute(Cpu& cpu, const Insn& insn) {
    cpu.rip = relative_target<T>(cpu, insn);
  }
};

// Where a condition does not hold Cpu::rip stays behind the instruction, where the run loop has put it.
template <unsigned code>
struct JumpIf : EndsBlock {
  template <class T>
  static void execute(Cpu& cpu, const Insn& insn) {
    if (cpu.flags.condition(code)) cpu.rip = relative_target<T>(cpu, insn);
  }
};

using Select = Handler (*)(const Insn&);

template <unsigned... codes>
constexpr std::array<Select, 16> jump_selects(std::integer_sequence<unsigned, codes...>) {
  return {pick_wide_size<JumpIf<codes>>...};
}
Handler select_jump_if(const Insn& insn) {
  static constexpr auto selects = jump_selects(std::make_integer_sequence<unsigned, 16>());
  return selects[insn.opcode & 15](insn);
}

struct JumpRm : EndsBlock {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    cpu.rip = checked_target<T>(cpu, Form::template read<T>(cpu, insn));
  }
};

template <class T>
void call(Cpu& cpu, uint64_t target) {
  push<T>(cpu, static_cast<T>(cpu.rip));
  cpu.rip = target;
}

struct CallRelative : EndsBlock {
  template <class T>
  static void execute(Cpu& cpu, const Insn& insn) {
    call<T>(cpu, relative_target<T>(cpu, insn));
  }
};

struct CallRm : EndsBlock {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    call<T>(cpu, checked_target<T>(cpu, Form::template read<T>(cpu, insn)));
  }
};

// The immediate is 0 for the form without.
struct Return : EndsBlock {
  template <class T>
  static void execute(Cpu& cpu, const Insn& insn) {
    cpu.rip = checked_target<T>(cpu, peek<T>(cpu));
    if constexpr (sizeof(T) == 8)
      cpu.gpr[rsp] += 8 + insn.immediate;
    else
      drop(cpu, static_cast<int64_t>(sizeof(T) + insn.immediate));
  }
};

// rCX of the address size counts.
uint64_t count_mask(const Insn& insn) {
  return insn.address_size == 8 ? ~uint64_t{0} : insn.address_size == 4 ? 0xffffffff : 0xffff;
}
void set_count(Cpu& cpu, const Insn& insn, uint64_t count) {
  if (insn.address_size == 2)
    write_gpr<uint16_t>(cpu, rcx, static_cast<uint16_t>(count));
  else
    cpu.gpr[rcx] = count & count_mask(insn);
}

struct JumpIfCountZero : EndsBlock {
  template <class T>
  static void execute(Cpu& cpu, const Insn& insn) {
    if ((cpu.gpr[rcx] & count_mask(insn)) == 0) cpu.rip = relative_target<T>(cpu, insn);
  }
};

struct Always {
  static bool holds(const Cpu&) { return true; }
};
struct WhileEqual {
  static bool holds(const Cpu& cpu) { return cpu.flags.zf(); }
};
struct WhileNotEqual {
  static bool holds(const Cpu& cpu) { return !cpu.flags.zf(); }
};

template <class Condition>
struct Loop : EndsBlock {
  template <class T>
  static void execute(Cpu& cpu, const Insn& insn) {
    const uint64_t count = (cpu.gpr[rcx] - 1) & count_mask(insn);
    if (count != 0 && Condition::holds(cpu)) cpu.rip = relative_target<T>(cpu, insn);
    set_count(cpu, insn, count);
  }
};

constexpr FlagEffects kReadsFlags{.read = kArithmeticFlags & ~kAf};
constexpr FlagEffects kReadsZero{.read = kZf};
constexpr uint32_t kRelative = kEndsBlock | kBranch | kForce64;

const Row kRows[] = {
    {"j", "70+cc", "Jb", select_jump_if, kRelative, kReadsFlags},
    {"j", "0F 80+cc", "Jz", select_jump_if, kRelative, kReadsFlags},
    {"jmp", "EB", "Jb", pick_wide_size<JumpRelative>, kRelative | kStops},
    {"jmp", "E9", "Jz", pick_wide_size<JumpRelative>, kRelative | kStops},
    {"jmp", "FF /4", "Ev", pick_wide<JumpRm>, kEndsBlock | kStops | kForce64},
    {"call", "E8", "Jz", pick_wide_size<CallRelative>, kRelative | kStops},
    {"call", "FF /2", "Ev", pick_wide<CallRm>, kEndsBlock | kStops | kForce64},
    {"ret", "C3", "", pick_wide_size<Return>, kEndsBlock | kStops | kForce64},
    {"ret", "C2", "Iw", pick_wide_size<Return>, kEndsBlock | kStops | kForce64},
    {"loopne", "E0", "Jb", pick_wide_size<Loop<WhileNotEqual>>, kRelative, kReadsZero},
    {"loope", "E1", "Jb", pick_wide_size<Loop<WhileEqual>>, kRelative, kReadsZero},
    {"loop", "E2", "Jb", pick_wide_size<Loop<Always>>, kRelative},
    {"jcxz", "E3", "Jb", pick_wide_size<JumpIfCountZero>, kRelative},
};

}  // namespace

std::span<const Row> control_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
