// Shapes of instructions that compute with floating-point elements.
//
// Operations are volatile assembler statements with the host's instruction: that gives results, NaNs and
// exception flags exactly, and the compiler neither folds them nor moves them past a change of MXCSR.
#pragma once

#include "cpu/soft/x86/sse/mxcsr.h"
#include "cpu/soft/x86/sse/operands.h"

namespace alcove::cpu::soft {

// ModRM.rm widened to a register: Source is Xmm, uint64_t or uint32_t by how much of it memory holds.
template <class Source, Place kPlace>
Xmm load_float(Cpu& cpu, const Insn& insn) {
  if constexpr (is_register(kPlace))
    return read_xmm<Xmm>(cpu, insn.rm);
  else if constexpr (sizeof(Source) == 16)
    return load_operand<Xmm, kPlace>(cpu, insn);
  else
    return Xmm{load_operand<Source, kPlace>(cpu, insn), 0};
}

// reg = operation(reg, rm)
template <auto operation, class Source>
struct FloatBinary {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    const Xmm b = load_float<Source, kPlace>(cpu, insn);
    const Xmm a = read_xmm<Xmm>(cpu, insn.reg);
    write_xmm(cpu, insn.reg, under_mxcsr(cpu, [&] { return operation(a, b); }));
  }
};

// reg = operation(reg, rm, imm8)
template <auto operation, class Source>
struct FloatBinaryImmediate : ReturnsToLoop {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    const Xmm b = load_float<Source, kPlace>(cpu, insn);
    const Xmm a = read_xmm<Xmm>(cpu, insn.reg);
    const auto immediate = static_cast<uint8_t>(insn.immediate);
    write_xmm(cpu, insn.reg, under_mxcsr(cpu, [&] { return operation(a, b, immediate); }));
  }
};

}  // namespace alcove::cpu::soft

// An operation that is the host's instruction of that name.
#define ALCOVE_HOST_BINARY(name)                      \
  constexpr auto name = [](Xmm a, Xmm b) {            \
    asm volatile(#name " %1, %0" : "+x"(a) : "x"(b)); \
    return a;                                         \
  }
// The same with an immediate, of which kCount values differ.
#define ALCOVE_HOST_IMMEDIATE(name, kCount)                                       \
  constexpr auto name = [](Xmm a, Xmm b, uint8_t immediate) {                     \
    return with_constant<kCount>(immediate, [&](auto constant) {                  \
      Xmm result = a;                                                             \
      asm volatile(#name " %2, %1, %0" : "+x"(result) : "x"(b), "i"(constant())); \
      return result;                                                              \
    });                                                                           \
  }
