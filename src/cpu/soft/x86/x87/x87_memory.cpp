// x87 instructions with a number in memory.
#include "cpu/soft/mmu/access.h"
#include "cpu/soft/x86/sse/operands.h"
#include "cpu/soft/x86/x87/availability.h"
#include "cpu/soft/x86/x87/execute.h"
#include "cpu/soft/x86/x87/groups.h"
#include "cpu/soft/x86/x87/state.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint16_t kKeepsFromStoring = 0x1f;  // Unmasked, all but the loss of precision.

struct TenBytes {
  std::array<uint8_t, 10> bytes;
};

// Loads, arithmetic and comparisons with a memory operand.
template <class T>
void read_memory(Cpu& cpu, const Insn& insn) {
  check_pending_x87(cpu);
  const uint64_t offset = effective_offset(cpu, insn);
  T operand = load<T>(cpu, linear_address(cpu, insn, sizeof(T), false));
  HostX87Result result;
  run_on_host_x87(cpu.fpu, insn.opcode, insn.modrm, &operand, 0, result);
  commit_x87(cpu.fpu, result);
  note_x87_instruction(cpu, insn);
  note_x87_data(cpu, insn, offset);
}

// With an unmasked exception memory stays as it was; that it may be written is checked all the same.
template <class T>
void write_memory(Cpu& cpu, const Insn& insn) {
  check_pending_x87(cpu);
  const uint64_t offset = effective_offset(cpu, insn);
  const uint64_t address = linear_address(cpu, insn, sizeof(T), true);
  T operand{};
  HostX87Result result;
  run_on_host_x87(cpu.fpu, insn.opcode, insn.modrm, &operand, 0, result);
  if (result.raised & kKeepsFromStoring)
    probe_write(cpu, address, sizeof(T));
  else
    store<T>(cpu, address, operand);
  commit_x87(cpu.fpu, result);
  note_x87_instruction(cpu, insn);
  note_x87_data(cpu, insn, offset);
}

constexpr FlagEffects kNone{};

#define ALCOVE_X87_READ(name, encoding, operand, T) \
  {name, encoding " mem", operand, only<read_memory<T>>, kX87, kNone, nullptr}
#define ALCOVE_X87_WRITE(name, encoding, operand, T) \
  {name, encoding " mem", operand, only<write_memory<T>>, kX87, kNone, nullptr}
// The eight operations with two operands, for one kind of memory operand.
#define ALCOVE_X87_ARITHMETIC(prefix, opcode, operand, T)       \
  ALCOVE_X87_READ(prefix "add", opcode " /0", operand, T),      \
      ALCOVE_X87_READ(prefix "mul", opcode " /1", operand, T),  \
      ALCOVE_X87_READ(prefix "com", opcode " /2", operand, T),  \
      ALCOVE_X87_READ(prefix "comp", opcode " /3", operand, T), \
      ALCOVE_X87_READ(prefix "sub", opcode " /4", operand, T),  \
      ALCOVE_X87_READ(prefix "subr", opcode " /5", operand, T), \
      ALCOVE_X87_READ(prefix "div", opcode " /6", operand, T),  \
      ALCOVE_X87_READ(prefix "divr", opcode " /7", operand, T)

constexpr Row kRows[] = {
    ALCOVE_X87_ARITHMETIC("f", "D8", "Mss", uint32_t),   ALCOVE_X87_READ("fld", "D9 /0", "Mss", uint32_t),
    ALCOVE_X87_WRITE("fst", "D9 /2", "Mss", uint32_t),   ALCOVE_X87_WRITE("fstp", "D9 /3", "Mss", uint32_t),
    ALCOVE_X87_ARITHMETIC("fi", "DA", "Md", uint32_t),   ALCOVE_X87_READ("fild", "DB /0", "Md", uint32_t),
    ALCOVE_X87_WRITE("fisttp", "DB /1", "Md", uint32_t), ALCOVE_X87_WRITE("fist", "DB /2", "Md", uint32_t),
    ALCOVE_X87_WRITE("fistp", "DB /3", "Md", uint32_t),  ALCOVE_X87_READ("fld", "DB /5", "Mt", TenBytes),
    ALCOVE_X87_WRITE("fstp", "DB /7", "Mt", TenBytes),   ALCOVE_X87_ARITHMETIC("f", "DC", "Msd", uint64_t),
    ALCOVE_X87_READ("fld", "DD /0", "Msd", uint64_t),    ALCOVE_X87_WRITE("fisttp", "DD /1", "Mq", uint64_t),
    ALCOVE_X87_WRITE("fst", "DD /2", "Msd", uint64_t),   ALCOVE_X87_WRITE("fstp", "DD /3", "Msd", uint64_t),
    ALCOVE_X87_ARITHMETIC("fi", "DE", "Mw", uint16_t),   ALCOVE_X87_READ("fild", "DF /0", "Mw", uint16_t),
    ALCOVE_X87_WRITE("fisttp", "DF /1", "Mw", uint16_t), ALCOVE_X87_WRITE("fist", "DF /2", "Mw", uint16_t),
    ALCOVE_X87_WRITE("fistp", "DF /3", "Mw", uint16_t),  ALCOVE_X87_READ("fbld", "DF /4", "Mt", TenBytes),
    ALCOVE_X87_READ("fild", "DF /5", "Mq", uint64_t),    ALCOVE_X87_WRITE("fbstp", "DF /6", "Mt", TenBytes),
    ALCOVE_X87_WRITE("fistp", "DF /7", "Mq", uint64_t),
};

}  // namespace

std::span<const Row> x87_memory_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
