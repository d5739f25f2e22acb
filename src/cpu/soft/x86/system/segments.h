// Segment descriptors and the loading of segment registers (Intel SDM vol. 3, chapters 3 and 5).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "cpu/soft/mmu/walk.h"
#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

// Types of system descriptors (SDM vol. 3, table 3-2).
enum SystemType : uint8_t {
  kTss16Available = 1,
  kLdt = 2,
  kTss16Busy = 3,
  kCallGate16 = 4,
  kTaskGate = 5,
  kInterruptGate16 = 6,
  kTrapGate16 = 7,
  kTssAvailable = 9,
  kTssBusy = 11,
  kCallGate = 12,
  kInterruptGate = 14,
  kTrapGate = 15,
};

inline bool is_null(uint16_t selector) {
  return (selector & ~3) == 0;
}
inline bool is_system(const Segment& segment) {
  return !(segment.access & 0x10);
}
inline unsigned type_of(const Segment& segment) {
  return segment.access & 15;
}
inline bool is_conforming(const Segment& segment) {
  return (segment.access & 0x1c) == 0x1c;
}
inline bool is_readable(const Segment& segment) {
  return (segment.access & 0x18) == 0x10 || (segment.access & 0x1a) == 0x1a;
}
inline bool within_limit(const Segment& segment, uint64_t offset, size_t size) {
  const uint64_t last = offset + size - 1;
  if (segment.expands_down()) return offset > segment.limit && last <= (segment.big() ? 0xffff'ffff : 0xffff);
  return last <= segment.limit;
}

// The register that eight descriptor bytes describe.
Segment decode_segment(uint16_t selector, uint64_t descriptor);

// The linear address of a selector's `size`-byte descriptor; none if it is beyond its table.
std::optional<uint64_t> descriptor_address(const Cpu& cpu, uint16_t selector, size_t size = 8);

struct Descriptor {
  uint64_t address = 0;
  uint64_t raw = 0;
  Segment segment;
};
// Reads the descriptor that must be there: beyond the table, raises `vector` with the selector. Null
// selectors are the caller's to refuse.
Descriptor read_descriptor(Cpu& cpu, uint16_t selector, Vector vector);
// The upper eight bytes of a system descriptor in IA-32e mode; its type bits must be 0.
uint64_t read_upper_half(Cpu& cpu, const Descriptor& descriptor, Vector vector);

void mark_accessed(Cpu& cpu, Descriptor& descriptor);

// MOV, POP and LxS to a data segment register, in every mode.
void load_segment(Cpu& cpu, SegmentIndex index, uint16_t selector);
// What a return to an outer privilege level does: null registers that may no longer be used.
void drop_inner_segments(Cpu& cpu);
// Sets a register without a look at the tables, and what follows from it (segment_base, modes).
void set_segment(Cpu& cpu, SegmentIndex index, const Segment& segment);

// The values of real-mode and virtual-8086 registers.
Segment virtual_8086_segment(uint16_t selector);
void load_real_segment(Cpu& cpu, SegmentIndex index, uint16_t selector);

// Checks a descriptor as new SS for privilege level `cpl`, raising `vector` for what is wrong and #SS if it
// is not present.
Descriptor check_stack_segment(Cpu& cpu, uint16_t selector, unsigned cpl, Vector vector);

// A code segment as the target of a far transfer, checked: present, in IA-32e mode not both L and D.
void check_code_present(Cpu& cpu, const Descriptor& descriptor);
// Checks that `rip` is in the segment (or canonical); raises #GP(0).
void check_target(Cpu& cpu, const Segment& code, uint64_t rip);
// Makes it CS, at privilege level `cpl`. The caller updates the modes.
void commit_code_segment(Cpu& cpu, Descriptor& descriptor, unsigned cpl, uint64_t rip);
bool is_64bit_code(const Cpu& cpu, const Segment& code);

struct StackPointer {
  uint16_t selector = 0;
  uint64_t pointer = 0;
};
// SS and ESP for `cpl` in the present TSS (SDM vol. 3, figure 8-2 and 8-10).
StackPointer task_stack(Cpu& cpu, unsigned cpl);
// RSPn (index 0-2) or ISTn (index 4-10) of a 64-bit TSS (figure 8-11).
uint64_t task_stack_64(Cpu& cpu, unsigned index);

}  // namespace alcove::cpu::soft
