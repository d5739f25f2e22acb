#include "cpu/soft/x86/debug.h"

namespace alcove::cpu::soft {
namespace {

enum BreakpointType : unsigned { kExecute = 0, kWrite = 1, kPort = 2, kReadWrite = 3 };

constexpr uint32_t kSingleStepBit = 1u << 14;  // DR6.BS

bool is_enabled(const Cpu& cpu, unsigned number) {
  return cpu.dr[7] >> (2 * number) & 3;
}
unsigned type_of(const Cpu& cpu, unsigned number) {
  return cpu.dr[7] >> (16 + 4 * number) & 3;
}
size_t length_of(const Cpu& cpu, unsigned number) {
  constexpr size_t kLengths[] = {1, 2, 8, 4};
  return kLengths[cpu.dr[7] >> (18 + 4 * number) & 3];
}
bool is_data(unsigned type) {
  return type == kWrite || type == kReadWrite;
}

bool overlaps(const Cpu& cpu, unsigned number, uint64_t address, size_t size) {
  const size_t length = length_of(cpu, number);
  const uint64_t start = cpu.dr[number] & ~uint64_t{length - 1};
  return address < start + length && start < address + size;
}

bool has_instruction_breakpoints(const Cpu& cpu) {
  for (unsigned i = 0; i < 4; ++i)
    if (is_enabled(cpu, i) && type_of(cpu, i) == kExecute) return true;
  return false;
}

[[noreturn]] void raise_debug(Cpu& cpu, uint64_t bits, bool is_trap) {
  cpu.fault = {.vector = kDebug, .debug_bits = bits, .is_trap = is_trap};
  longjmp(cpu.fault_exit, 1);
}

}  // namespace

bool page_has_data_breakpoint(const Cpu& cpu, uint64_t linear_address) {
  if (!(cpu.dr[7] & 0xff)) [[likely]]
    return false;
  for (unsigned i = 0; i < 4; ++i)
    if (is_enabled(cpu, i) && is_data(type_of(cpu, i)) &&
        overlaps(cpu, i, linear_address & ~uint64_t{0xfff}, 0x1000))
      return true;
  return false;
}

bool has_upper_data_breakpoint(const Cpu& cpu) {
  if (!(cpu.dr[7] & 0xff)) [[likely]]
    return false;
  for (unsigned i = 0; i < 4; ++i)
    if (is_enabled(cpu, i) && is_data(type_of(cpu, i)) && cpu.dr[i] >> 63) return true;
  return false;
}

void check_data_breakpoints(Cpu& cpu, uint64_t linear_address, size_t size, bool write) {
  if (!(cpu.dr[7] & 0xff)) [[likely]]
    return;
  for (unsigned i = 0; i < 4; ++i) {
    if (!is_enabled(cpu, i)) continue;
    const unsigned type = type_of(cpu, i);
    if ((type == kReadWrite || (type == kWrite && write)) && overlaps(cpu, i, linear_address, size))
      cpu.pending_debug |= 1u << i;
  }
}

void check_io_breakpoints(Cpu& cpu, uint16_t port, size_t size) {
  if (!(cpu.dr[7] & 0xff) || !(cpu.cr4 & 8)) [[likely]]
    return;
  for (unsigned i = 0; i < 4; ++i)
    if (is_enabled(cpu, i) && type_of(cpu, i) == kPort && overlaps(cpu, i, port, size))
      cpu.pending_debug |= 1u << i;
}

void before_instruction(Cpu& cpu) {
  if (cpu.flags.test(kRf)) {  // Holds for one instruction.
    cpu.flags.set(kRf, false);
    update_debug_mode(cpu);
    return;
  }
  if (!has_instruction_breakpoints(cpu)) return;
  const uint64_t address = cpu.in_64bit() ? cpu.rip : static_cast<uint32_t>(cpu.segments[cs].base + cpu.rip);
  uint64_t hit = 0;
  for (unsigned i = 0; i < 4; ++i)
    if (is_enabled(cpu, i) && type_of(cpu, i) == kExecute && cpu.dr[i] == address) hit |= 1u << i;
  // A fault, yet the one for which the processor pushes RF clear (SDM vol. 3, 18.3.1.1).
  if (hit) raise_debug(cpu, hit, true);
}

void after_instruction(Cpu& cpu, bool tf_before) {
  const bool step = tf_before && !(cpu.pending_debug & kNoSingleStep);
  const uint64_t bits = (cpu.pending_debug & ~kNoSingleStep) | (step ? kSingleStepBit : 0);
  cpu.pending_debug = 0;
  if (bits) raise_debug(cpu, bits, true);
}

void update_debug_mode(Cpu& cpu) {
  const bool has_breakpoints = cpu.dr[7] & 0xff;
  cpu.single_step = cpu.flags.test(kTf) || has_breakpoints;
  if (!has_breakpoints) cpu.flags.set(kRf, false);  // Nothing looks at it.
}

}  // namespace alcove::cpu::soft
