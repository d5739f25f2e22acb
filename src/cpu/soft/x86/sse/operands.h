// What the handlers of SSE and MMX instructions share: vectors, register files, operands, shapes.
//
// One shape serves both register files: a vector of 16 bytes lives in the XMM registers, one of 8 bytes in
// the MMX registers, which are the significands of the x87 registers.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include "cpu/soft/mmu/access.h"
#include "cpu/soft/x86/cpu.h"
#include "cpu/soft/x86/insn.h"
#include "cpu/soft/x86/threading.h"
#include "cpu/soft/x86/x87/availability.h"

namespace alcove::cpu::soft {

// A vector of kBytes bytes; the compiler's own operators work on all lanes.
template <class T, size_t kBytes>
using Packed [[gnu::vector_size(kBytes)]] = T;

using Xmm = Packed<uint64_t, 16>;
using XmmBytes = Packed<uint8_t, 16>;
using XmmWords = Packed<uint16_t, 16>;
using XmmDwords = Packed<uint32_t, 16>;

template <class V>
using Lane = std::remove_cvref_t<decltype(std::declval<V>()[0])>;
template <class V>
inline constexpr size_t kLaneCount = sizeof(V) / sizeof(Lane<V>);

template <class T>
T read_xmm(const Cpu& cpu, unsigned number) {
  static_assert(sizeof(T) <= 16);
  T value;
  std::memcpy(&value, &cpu.fpu.ymm[number], sizeof value);
  return value;
}

// Bits above T's size stay as they are.
template <class T>
void write_xmm(Cpu& cpu, unsigned number, const T& value) {
  static_assert(sizeof(T) <= 16);
  std::memcpy(&cpu.fpu.ymm[number], &value, sizeof value);
}

// The register file that vectors of V's size live in. REX.R and REX.B don't count for MMX registers.
template <class V>
V read_vector(const Cpu& cpu, unsigned number) {
  if constexpr (sizeof(V) == 16)
    return read_xmm<V>(cpu, number);
  else
    return std::bit_cast<V>(cpu.fpu.physical[number & 7].significand);
}
template <class V>
void write_vector(Cpu& cpu, unsigned number, const V& value) {
  if constexpr (sizeof(V) == 16)
    write_xmm(cpu, number, value);
  else
    cpu.fpu.physical[number & 7] = {std::bit_cast<uint64_t>(value), 0xffff};
}
// What blocks can't know when they are decoded, unlike CR0 and CR4: MMX instructions wait for x87 exceptions.
template <class V>
void check_vector(Cpu& cpu) {
  if constexpr (sizeof(V) == 8) check_pending_x87(cpu);
}
// Called when nothing can fault any more.
template <class V>
void enter_vector(Cpu& cpu) {
  if constexpr (sizeof(V) == 8) enter_mmx(cpu);
}

// Where ModRM.rm is. Handlers are made for each, so that they don't branch on it.
enum class Place : uint8_t {
  reg,
  base,    // Memory at [base + displacement] in 64-bit mode, in a segment whose base is 0 there.
  flat,    // Memory with 64-bit addresses, so in 64-bit mode: no segment limits.
  memory,  // Any other memory.
};
constexpr bool is_register(Place place) {
  return place == Place::reg;
}

template <Place kPlace>
uint64_t operand_address(Cpu& cpu, const Insn& insn, size_t size, bool write) {
  if constexpr (kPlace == Place::base)
    return cpu.gpr[insn.base] + static_cast<uint64_t>(insn.displacement);
  else if constexpr (kPlace == Place::flat)
    return cpu.segment_base[insn.segment] + cpu.gpr[insn.base] + (cpu.gpr[insn.index] << insn.scale) +
           static_cast<uint64_t>(insn.displacement);
  else
    return linear_address(cpu, insn, size, write);
}

// Operands of 16 bytes in memory must be aligned, except where the instruction says otherwise.
template <Place kPlace>
uint64_t aligned_address(Cpu& cpu, const Insn& insn, bool write) {
  const uint64_t address = operand_address<kPlace>(cpu, insn, 16, write);
  if (address & 15) [[unlikely]]
    raise(cpu, kGeneralProtection, 0);
  return address;
}

// The memory operand: T itself tells its size; only whole XMM operands need alignment.
template <class T, Place kPlace = Place::memory>
T load_operand(Cpu& cpu, const Insn& insn) {
  if constexpr (sizeof(T) == 16)
    return load<T>(cpu, aligned_address<kPlace>(cpu, insn, false));
  else
    return load<T>(cpu, operand_address<kPlace>(cpu, insn, sizeof(T), false));
}
template <class T, Place kPlace = Place::memory>
T load_unaligned(Cpu& cpu, const Insn& insn) {
  return load<T>(cpu, operand_address<kPlace>(cpu, insn, sizeof(T), false));
}
template <Place kPlace = Place::memory, class T>
void store_operand(Cpu& cpu, const Insn& insn, const T& value) {
  store<T>(cpu, operand_address<kPlace>(cpu, insn, sizeof(T), true), value);
}

// ModRM.rm as a vector of its register file or of memory.
template <class V, Place kPlace>
V load_vector(Cpu& cpu, const Insn& insn) {
  if constexpr (is_register(kPlace))
    return read_vector<V>(cpu, insn.rm);
  else
    return load_operand<V, kPlace>(cpu, insn);
}

// Row::select for a shape, which has a handler for each place. Those of shapes that say so return to the run
// loop, because they leave addresses of their variables behind (see threading.h).
struct ReturnsToLoop {
  static constexpr bool kReturns = true;
};
template <class Shape, Place kPlace>
constexpr Handler handler_at() {
  if constexpr (requires { Shape::kReturns; })
    return &Shape::template execute<kPlace>;
  else
    return threaded<Shape::template execute<kPlace>>;
}
template <class Shape>
Handler by_form(const Insn& insn) {
  if (insn.is_register) return handler_at<Shape, Place::reg>();
  if (insn.address_size != 8) return handler_at<Shape, Place::memory>();
  return insn.index == kNoRegister && insn.segment < fs ? handler_at<Shape, Place::base>()
                                                        : handler_at<Shape, Place::flat>();
}

// Row::select where there is one handler, which returns to the run loop or goes on to the next instruction.
template <Handler kHandler>
Handler only(const Insn&) {
  return kHandler;
}
template <Handler kHandler>
Handler going_on(const Insn&) {
  return threaded<kHandler>;
}

// reg = operation(reg, rm)
template <auto operation, class V>
struct Binary {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    check_vector<V>(cpu);
    const V b = load_vector<V, kPlace>(cpu, insn);
    enter_vector<V>(cpu);
    write_vector<V>(cpu, insn.reg, operation(read_vector<V>(cpu, insn.reg), b));
  }
};

// reg = operation(reg, rm, imm8)
template <auto operation, class V>
struct BinaryImmediate {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    check_vector<V>(cpu);
    const V b = load_vector<V, kPlace>(cpu, insn);
    enter_vector<V>(cpu);
    const auto immediate = static_cast<uint8_t>(insn.immediate);
    write_vector<V>(cpu, insn.reg, operation(read_vector<V>(cpu, insn.reg), b, immediate));
  }
};

// reg = operation(rm)
template <auto operation, class V>
struct Unary {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    check_vector<V>(cpu);
    const V b = load_vector<V, kPlace>(cpu, insn);
    enter_vector<V>(cpu);
    write_vector<V>(cpu, insn.reg, operation(b));
  }
};

// reg = operation(rm, imm8)
template <auto operation, class V>
struct UnaryImmediate {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    check_vector<V>(cpu);
    const V b = load_vector<V, kPlace>(cpu, insn);
    enter_vector<V>(cpu);
    write_vector<V>(cpu, insn.reg, operation(b, static_cast<uint8_t>(insn.immediate)));
  }
};

// For instructions whose assembler form needs its immediate at compile time: calls
// function(integral_constant<unsigned, value>) for a value below kCount.
template <unsigned kValue, class Function>
auto call_with_constant(Function& function) {
  return function(std::integral_constant<unsigned, kValue>());
}
template <unsigned kCount, class Function>
auto with_constant(unsigned value, Function function) {
  return [&]<unsigned... kValues>(std::integer_sequence<unsigned, kValues...>) {
    using Call = decltype(&call_with_constant<0, Function>);
    static constexpr Call kCalls[] = {&call_with_constant<kValues, Function>...};
    return kCalls[value % kCount](function);
  }(std::make_integer_sequence<unsigned, kCount>());
}

}  // namespace alcove::cpu::soft
