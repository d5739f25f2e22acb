// PUSH, POP, ENTER, LEAVE and the flags register.
#include "cpu/soft/x86/general/stack.h"

#include "cpu/soft/x86/debug.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/exceptions.h"
#include "cpu/soft/x86/general/forms.h"
#include "cpu/soft/x86/general/groups.h"

namespace alcove::cpu::soft {
namespace {

struct PushReg {
  template <class T>
  static void execute(Cpu& cpu, const Insn& insn) {
    push<T>(cpu, read_gpr<T>(cpu, insn.reg));
  }
};

struct PopReg {
  template <class T>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T value = pop<T>(cpu);
    write_gpr<T>(cpu, insn.reg, value);
  }
};

struct PushImmediate {
  template <class T>
  static void execute(Cpu& cpu, const Insn& insn) {
    push<T>(cpu, static_cast<T>(insn.immediate));
  }
};

struct PushRm {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    push<T>(cpu, Form::template read<T>(cpu, insn));
  }
};

// An address that uses the stack pointer uses it as it is after the pop.
struct PopRm {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T value = peek<T>(cpu);
    if constexpr (Form::kIsMemory) {
      const uint64_t before = cpu.gpr[rsp];
      drop(cpu, sizeof(T));
      const uint64_t offset = effective_offset(cpu, insn);
      cpu.gpr[rsp] = before;
      const uint64_t address = cpu.flat ? cpu.segment_base[insn.segment] + offset
                                        : check_segment(cpu, insn.segment, offset, sizeof(T), true);
      store<T>(cpu, address, value);
      drop(cpu, sizeof(T));
    } else {
      drop(cpu, sizeof(T));
      Form::template write<T>(cpu, insn, value);
    }
  }
};

constexpr uint8_t kAllRegisters[] = {rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi};

struct PushAll {
  template <class T>
  static void execute(Cpu& cpu, const Insn&) {
    uint64_t pointer = cpu.gpr[rsp];
    for (const uint8_t number : kAllRegisters) {
      pointer = stack_offset(cpu, pointer, -static_cast<int64_t>(sizeof(T)));
      store<T>(cpu, stack_address(cpu, pointer, sizeof(T), true), read_gpr<T>(cpu, number));
    }
    set_stack_pointer(cpu, pointer);
  }
};

struct PopAll {
  template <class T>
  static void execute(Cpu& cpu, const Insn&) {
    T values[8];
    for (unsigned i = 0; i < 8; ++i) values[7 - i] = peek<T>(cpu, i * sizeof(T));
    drop(cpu, 8 * sizeof(T));
    for (unsigned i = 0; i < 8; ++i)
      if (kAllRegisters[i] != rsp) write_gpr<T>(cpu, kAllRegisters[i], values[i]);
  }
};

struct Enter {
  template <class T>
  static void execute(Cpu& cpu, const Insn& insn) {
    constexpr auto size = static_cast<int64_t>(sizeof(T));
    const unsigned level = insn.selector & 31;
    uint64_t pointer = cpu.gpr[rsp];
    const auto push_value = [&](T value) {
      pointer = stack_offset(cpu, pointer, -size);
      store<T>(cpu, stack_address(cpu, pointer, sizeof(T), true), value);
    };
    push_value(read_gpr<T>(cpu, rbp));
    const uint64_t frame = pointer;
    for (unsigned i = 1; i < level; ++i) {
      const uint64_t outer = stack_offset(cpu, cpu.gpr[rbp], -size * i);
      push_value(load<T>(cpu, stack_address(cpu, outer, sizeof(T), false)));
    }
    if (level > 0) push_value(static_cast<T>(frame));
    pointer = stack_offset(cpu, pointer, -static_cast<int64_t>(insn.immediate));
    probe_write(cpu, stack_address(cpu, pointer, sizeof(T), true), sizeof(T));
    set_stack_pointer(cpu, pointer);
    write_gpr<T>(cpu, rbp, static_cast<T>(frame));
  }
};

struct Leave {
  template <class T>
  static void execute(Cpu& cpu, const Insn&) {
    const uint64_t frame = cpu.gpr[rbp] & stack_mask(cpu);
    const T value = load<T>(cpu, stack_address(cpu, frame, sizeof(T), false));
    set_stack_pointer(cpu, frame + sizeof(T));
    write_gpr<T>(cpu, rbp, value);
  }
};

// In virtual-8086 mode the flags are the monitor's unless IOPL is 3.
void check_virtual_8086(Cpu& cpu) {
  if (cpu.virtual_8086() && (cpu.flags.system() & kIopl) != kIopl) raise(cpu, kGeneralProtection, 0);
}

struct PushFlags {
  template <class T>
  static void execute(Cpu& cpu, const Insn&) {
    check_virtual_8086(cpu);
    push<T>(cpu, static_cast<T>(cpu.flags.value() & ~(kVm | kRf)));
  }
};

struct PopFlags : EndsBlock {
  template <class T>
  static void execute(Cpu& cpu, const Insn&) {
    check_virtual_8086(cpu);
    uint32_t changeable = kArithmeticFlags | kTf | kDf | kNt | kAc | kId | kRf;
    const unsigned iopl = (cpu.flags.system() & kIopl) >> 12;
    if (cpu.cpl <= iopl || cpu.virtual_8086()) changeable |= kIf;
    if (cpu.cpl == 0) changeable |= kIopl;
    if (sizeof(T) == 2) changeable &= 0xffff;
    const uint32_t before = cpu.flags.value();
    const auto popped = static_cast<uint32_t>(pop<T>(cpu)) & ~kRf;
    cpu.flags.set_value((before & ~changeable) | (popped & changeable));
    const uint32_t changed = cpu.flags.value() ^ before;
    if (changed & (kTf | kRf)) update_debug_mode(cpu);
    if (changed & kAc) update_mode(cpu);
    if (changed & popped & kIf) recheck_interrupts(cpu);
  }
};

const Row kRows[] = {
    {"push", "50+r", "Zv", pick_wide_size<PushReg>, kDefault64},
    {"pop", "58+r", "Zv", pick_wide_size<PopReg>, kDefault64},
    {"push", "68", "Iz", pick_wide_size<PushImmediate>, kDefault64},
    {"push", "6A", "sIb", pick_wide_size<PushImmediate>, kDefault64},
    {"push", "FF /6", "Ev", pick_wide<PushRm>, kDefault64},
    {"pop", "8F /0", "Ev", pick_wide<PopRm>, kDefault64},
    {"pusha|pushad|-", "60", "", pick_wide_size<PushAll>, kNo64},
    {"popa|popad|-", "61", "", pick_wide_size<PopAll>, kNo64},
    {"enter", "C8", "Iw,Ib", pick_wide_size<Enter>, kDefault64},
    {"leave", "C9", "", pick_wide_size<Leave>, kDefault64},
    {"pushf|pushfd|pushfq", "9C", "", pick_wide_size<PushFlags>, kDefault64, {.read = kArithmeticFlags}},
    {"popf|popfd|popfq", "9D", "", pick_wide_size<PopFlags>, kDefault64 | kEndsBlock, kWritesAll},
};

}  // namespace

std::span<const Row> stack_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
