// How handlers of general instructions reach their operands: one form for each way that ModRM can name one.
// Row::select picks form and size, so that handlers do not branch on decoded fields.
#pragma once

#include <cstdint>

#include "cpu/soft/mmu/access.h"
#include "cpu/soft/x86/cpu.h"
#include "cpu/soft/x86/row.h"
#include "cpu/soft/x86/threading.h"

namespace alcove::cpu::soft {

// The byte register at `position` (Insn::reg_byte, rm_byte).
inline uint8_t& byte_register(Cpu& cpu, unsigned position) {
  return reinterpret_cast<uint8_t*>(cpu.gpr.data())[position];
}

// ModRM.reg, or the register of "+r" encodings.
template <class T>
T read_reg(Cpu& cpu, const Insn& insn) {
  if constexpr (sizeof(T) == 1)
    return byte_register(cpu, insn.reg_byte);
  else
    return read_gpr<T>(cpu, insn.reg);
}
template <class T>
void write_reg(Cpu& cpu, const Insn& insn, T value) {
  if constexpr (sizeof(T) == 1)
    byte_register(cpu, insn.reg_byte) = value;
  else
    write_gpr<T>(cpu, insn.reg, value);
}

// ModRM.rm as a register; also the accumulator of instructions without ModRM, whose `rm` is 0.
struct RegisterForm {
  static constexpr bool kIsMemory = false;
  template <class T>
  static T read(Cpu& cpu, const Insn& insn) {
    if constexpr (sizeof(T) == 1)
      return byte_register(cpu, insn.rm_byte);
    else
      return read_gpr<T>(cpu, insn.rm);
  }
  template <class T>
  static void write(Cpu& cpu, const Insn& insn, T value) {
    if constexpr (sizeof(T) == 1)
      byte_register(cpu, insn.rm_byte) = value;
    else
      write_gpr<T>(cpu, insn.rm, value);
  }
  // Replaces the operand by operation(old); returns the old value.
  template <class T, class Operation>
  static T update(Cpu& cpu, const Insn& insn, Operation operation) {
    const T old = read<T>(cpu, insn);
    write<T>(cpu, insn, operation(old));
    return old;
  }
};

// Memory with 64-bit addresses, which only 64-bit mode has: no segment limits; without LOCK.
template <class Address>
struct LinearForm {
  static constexpr bool kIsMemory = true;
  template <class T>
  static T read(Cpu& cpu, const Insn& insn) {
    return load<T>(cpu, Address::compute(cpu, insn));
  }
  template <class T>
  static void write(Cpu& cpu, const Insn& insn, T value) {
    store<T>(cpu, Address::compute(cpu, insn), value);
  }
  template <class T, class Operation>
  static T update(Cpu& cpu, const Insn& insn, Operation operation) {
    return modify<T>(cpu, Address::compute(cpu, insn), false, operation);
  }
};

// The most frequent addresses, [base + displacement], in a segment whose base is 0 in 64-bit mode.
struct BaseAddress {
  static uint64_t compute(Cpu& cpu, const Insn& insn) {
    return cpu.gpr[insn.base] + static_cast<uint64_t>(insn.displacement);
  }
  static bool fits(const Insn& insn) { return insn.index == kNoRegister && insn.segment < fs; }
};
struct FullAddress {
  static uint64_t compute(Cpu& cpu, const Insn& insn) {
    return cpu.segment_base[insn.segment] + cpu.gpr[insn.base] + (cpu.gpr[insn.index] << insn.scale) +
           static_cast<uint64_t>(insn.displacement);
  }
};
using BaseForm = LinearForm<BaseAddress>;
using FlatForm = LinearForm<FullAddress>;

// Any memory operand.
struct MemoryForm {
  static constexpr bool kIsMemory = true;
  template <class T>
  static T read(Cpu& cpu, const Insn& insn) {
    return load<T>(cpu, linear_address(cpu, insn, sizeof(T), false));
  }
  template <class T>
  static void write(Cpu& cpu, const Insn& insn, T value) {
    store<T>(cpu, linear_address(cpu, insn, sizeof(T), true), value);
  }
  template <class T, class Operation>
  static T update(Cpu& cpu, const Insn& insn, Operation operation) {
    return modify<T>(cpu, linear_address(cpu, insn, sizeof(T), true), insn.lock, operation);
  }
};

// Instructions whose Kind says so set Cpu::rip and return to the run loop; all others go on by themselves.
struct EndsBlock {
  static constexpr bool kEndsBlock = true;
};

template <class Kind, Handler body>
constexpr Handler finish() {
  if constexpr (requires { Kind::kEndsBlock; })
    return body;
  else
    return threaded<body>;
}

// Kind::execute<T, Form> for the operand size and form of the instruction. The accumulator forms (no ModRM)
// are not registers by Insn::is_register: their rows use pick_size.
template <class Kind, class T>
Handler pick_form(const Insn& insn) {
  if (insn.is_register) return finish<Kind, Kind::template execute<T, RegisterForm>>();
  if (insn.address_size == 8 && !insn.lock) {
    if (BaseAddress::fits(insn)) return finish<Kind, Kind::template execute<T, BaseForm>>();
    return finish<Kind, Kind::template execute<T, FlatForm>>();
  }
  return finish<Kind, Kind::template execute<T, MemoryForm>>();
}

template <class Kind>
Handler pick(const Insn& insn) {
  switch (insn.operand_size) {
    case 1:
      return pick_form<Kind, uint8_t>(insn);
    case 2:
      return pick_form<Kind, uint16_t>(insn);
    case 4:
      return pick_form<Kind, uint32_t>(insn);
    default:
      return pick_form<Kind, uint64_t>(insn);
  }
}

// As pick(), for instructions that have no byte form.
template <class Kind>
Handler pick_wide(const Insn& insn) {
  switch (insn.operand_size) {
    case 2:
      return pick_form<Kind, uint16_t>(insn);
    case 4:
      return pick_form<Kind, uint32_t>(insn);
    default:
      return pick_form<Kind, uint64_t>(insn);
  }
}

// Kind::execute<T> by operand size alone.
template <class Kind>
Handler pick_wide_size(const Insn& insn) {
  switch (insn.operand_size) {
    case 2:
      return finish<Kind, Kind::template execute<uint16_t>>();
    case 4:
      return finish<Kind, Kind::template execute<uint32_t>>();
    default:
      return finish<Kind, Kind::template execute<uint64_t>>();
  }
}
template <class Kind>
Handler pick_size(const Insn& insn) {
  return insn.operand_size == 1 ? finish<Kind, Kind::template execute<uint8_t>>()
                                : pick_wide_size<Kind>(insn);
}

template <Handler body>
Handler always(const Insn&) {
  return threaded<body>;
}

}  // namespace alcove::cpu::soft
