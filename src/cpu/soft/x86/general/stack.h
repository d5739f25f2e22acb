// Pushing and popping. Fields of the stack pointer beyond the stack's size stay as they are.
#pragma once

#include <cstdint>

#include "cpu/soft/mmu/access.h"
#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

inline uint64_t stack_mask(const Cpu& cpu) {
  return cpu.stack_size == 8 ? ~uint64_t{0} : cpu.stack_size == 4 ? 0xffffffff : 0xffff;
}

// A stack pointer moved by `distance`.
inline uint64_t stack_offset(const Cpu& cpu, uint64_t pointer, int64_t distance) {
  return (pointer + static_cast<uint64_t>(distance)) & stack_mask(cpu);
}

inline void set_stack_pointer(Cpu& cpu, uint64_t pointer) {
  const uint64_t mask = stack_mask(cpu);
  cpu.gpr[rsp] = (cpu.gpr[rsp] & ~mask) | (pointer & mask);
}

inline uint64_t stack_address(Cpu& cpu, uint64_t offset, size_t size, bool write) {
  return cpu.flat ? cpu.segment_base[ss] + offset : check_segment(cpu, ss, offset, size, write);
}

// Eight-byte operands exist in 64-bit mode only, where the stack is flat and its pointer 64 bits long.
template <class T>
void push(Cpu& cpu, T value) {
  if constexpr (sizeof(T) == 8) {
    const uint64_t pointer = cpu.gpr[rsp] - 8;
    store<T>(cpu, pointer, value);
    cpu.gpr[rsp] = pointer;
  } else {
    const uint64_t pointer = stack_offset(cpu, cpu.gpr[rsp], -static_cast<int64_t>(sizeof(T)));
    store<T>(cpu, stack_address(cpu, pointer, sizeof(T), true), value);
    set_stack_pointer(cpu, pointer);
  }
}

// What a pop would give; `distance` bytes above the top of the stack.
template <class T>
T peek(Cpu& cpu, int64_t distance = 0) {
  if constexpr (sizeof(T) == 8)
    return load<T>(cpu, cpu.gpr[rsp] + static_cast<uint64_t>(distance));
  else
    return load<T>(cpu, stack_address(cpu, stack_offset(cpu, cpu.gpr[rsp], distance), sizeof(T), false));
}

inline void drop(Cpu& cpu, int64_t size) {
  set_stack_pointer(cpu, cpu.gpr[rsp] + static_cast<uint64_t>(size));
}

template <class T>
T pop(Cpu& cpu) {
  const T value = peek<T>(cpu);
  if constexpr (sizeof(T) == 8)
    cpu.gpr[rsp] += 8;
  else
    drop(cpu, sizeof(T));
  return value;
}

}  // namespace alcove::cpu::soft
