// x87 control: words, environment, whole state.
#include <array>

#include "cpu/soft/mmu/access.h"
#include "cpu/soft/x86/sse/operands.h"
#include "cpu/soft/x86/x87/availability.h"
#include "cpu/soft/x86/x87/groups.h"
#include "cpu/soft/x86/x87/state.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kCr0WaitTraps = 1u << 1 | 1u << 3;  // MP and TS

void fninit(Cpu& cpu, const Insn&) {
  reset_x87(cpu.fpu);
}

void fnclex(Cpu& cpu, const Insn&) {
  cpu.fpu.status &= static_cast<uint16_t>(~(kX87Exceptions | kX87StackFault | kErrorSummary | kX87Busy));
}

void fnstsw_ax(Cpu& cpu, const Insn&) {
  write_gpr<uint16_t>(cpu, rax, cpu.fpu.status);
}
void fnstsw(Cpu& cpu, const Insn& insn) {
  store_operand(cpu, insn, cpu.fpu.status);
}
void fnstcw(Cpu& cpu, const Insn& insn) {
  store_operand(cpu, insn, cpu.fpu.control);
}

void fldcw(Cpu& cpu, const Insn& insn) {
  check_pending_x87(cpu);
  set_x87_control(cpu.fpu, load_operand<uint16_t>(cpu, insn));
  update_x87_summary(cpu.fpu);
}

// Depends on MP, unlike all others, and not on EM: so no row flag says it.
void fwait(Cpu& cpu, const Insn&) {
  if ((cpu.cr0 & kCr0WaitTraps) == kCr0WaitTraps) raise(cpu, kDeviceNotAvailable);
  check_pending_x87(cpu);
}

// FNENI, FNDISI and FNSETPM meant something to the 8087 and 80287.
void nothing(Cpu&, const Insn&) {}

// The environment in its four layouts (Intel SDM vol. 1, figures 8-9 to 8-12): seven fields of two or four
// bytes. Real and virtual-8086 mode show linear addresses instead of selector and offset.
struct Layout {
  size_t field;
  bool real;
  size_t size() const { return 7 * field; }
};
Layout layout(const Cpu& cpu, const Insn& insn) {
  return {insn.operand_size == 2 ? size_t{2} : size_t{4}, cpu.real_mode() || cpu.virtual_8086()};
}

using Buffer = std::array<uint8_t, 108>;

void put(Buffer& buffer, const Layout& layout, unsigned field, uint32_t value) {
  std::memcpy(buffer.data() + field * layout.field, &value, layout.field);
}
uint32_t get(const Buffer& buffer, const Layout& layout, unsigned field) {
  uint32_t value = 0;
  std::memcpy(&value, buffer.data() + field * layout.field, layout.field);
  return value;
}

void save_environment(const FpuState& fpu, const Layout& layout, Buffer& buffer) {
  constexpr uint32_t kReserved = 0xffff0000;  // What processors store there.
  put(buffer, layout, 0, kReserved | fpu.control);
  put(buffer, layout, 1, kReserved | fpu.status);
  put(buffer, layout, 2, kReserved | x87_tag_word(fpu));
  const auto instruction = static_cast<uint32_t>(fpu.last_instruction);
  const auto data = static_cast<uint32_t>(fpu.last_data);
  if (!layout.real) {
    put(buffer, layout, 3, instruction);
    put(buffer, layout, 4, fpu.last_instruction_selector | uint32_t{fpu.last_opcode} << 16);
    put(buffer, layout, 5, data);
    put(buffer, layout, 6, kReserved | fpu.last_data_selector);
    return;
  }
  const uint32_t linear_instruction = instruction + (uint32_t{fpu.last_instruction_selector} << 4);
  const uint32_t linear_data = data + (uint32_t{fpu.last_data_selector} << 4);
  put(buffer, layout, 3, kReserved | (linear_instruction & 0xffff));
  put(buffer, layout, 4, (linear_instruction >> 16 << 12) | fpu.last_opcode);
  put(buffer, layout, 5, kReserved | (linear_data & 0xffff));
  put(buffer, layout, 6, linear_data >> 16 << 12);
}

void load_environment(FpuState& fpu, const Layout& layout, const Buffer& buffer) {
  set_x87_control(fpu, static_cast<uint16_t>(get(buffer, layout, 0)));
  fpu.status = static_cast<uint16_t>(get(buffer, layout, 1));
  set_x87_tag_word(fpu, static_cast<uint16_t>(get(buffer, layout, 2)));
  const uint32_t fields[] = {get(buffer, layout, 3), get(buffer, layout, 4), get(buffer, layout, 5),
                             get(buffer, layout, 6)};
  if (layout.real) {
    fpu.last_instruction = (fields[0] & 0xffff) | (fields[1] >> 12 & 0xffff) << 16;
    fpu.last_instruction_selector = 0;
    fpu.last_opcode = fields[1] & 0x7ff;
    fpu.last_data = (fields[2] & 0xffff) | (fields[3] >> 12 & 0xffff) << 16;
    fpu.last_data_selector = 0;
  } else {
    fpu.last_instruction = fields[0];
    fpu.last_instruction_selector = static_cast<uint16_t>(fields[1]);
    fpu.last_opcode = fields[1] >> 16 & 0x7ff;
    fpu.last_data = fields[2];
    fpu.last_data_selector = static_cast<uint16_t>(fields[3]);
  }
  update_x87_summary(fpu);
}

// Which fault comes first isn't defined; AMD's processors try the first field, then the last byte.
void load_buffer(Cpu& cpu, const Insn& insn, const Layout& layout, Buffer& buffer, size_t size) {
  const uint64_t address = linear_address(cpu, insn, size, false);
  if (layout.field == 4)
    load<uint32_t>(cpu, address);
  else
    load<uint16_t>(cpu, address);
  load<uint8_t>(cpu, address + size - 1);
  for (size_t i = 0; i < size; i += 2) {
    const auto word = load<uint16_t>(cpu, address + i);
    std::memcpy(buffer.data() + i, &word, sizeof word);
  }
}
void store_buffer(Cpu& cpu, const Insn& insn, const Layout& layout, const Buffer& buffer, size_t size) {
  const uint64_t address = linear_address(cpu, insn, size, true);
  probe_write(cpu, address, layout.field);
  probe_write(cpu, address + size - 1, 1);
  probe_write(cpu, address, size);
  for (size_t i = 0; i < size; i += 2) {
    uint16_t word = 0;
    std::memcpy(&word, buffer.data() + i, sizeof word);
    store<uint16_t>(cpu, address + i, word);
  }
}

// Masks all exceptions afterwards.
void fnstenv(Cpu& cpu, const Insn& insn) {
  Buffer buffer{};
  const Layout format = layout(cpu, insn);
  save_environment(cpu.fpu, format, buffer);
  store_buffer(cpu, insn, format, buffer, format.size());
  cpu.fpu.control |= kX87Exceptions;
  update_x87_summary(cpu.fpu);
}

void fldenv(Cpu& cpu, const Insn& insn) {
  check_pending_x87(cpu);
  Buffer buffer{};
  const Layout format = layout(cpu, insn);
  load_buffer(cpu, insn, format, buffer, format.size());
  load_environment(cpu.fpu, format, buffer);
}

constexpr size_t kRegisterBytes = 10;

void fnsave(Cpu& cpu, const Insn& insn) {
  Buffer buffer{};
  const Layout format = layout(cpu, insn);
  save_environment(cpu.fpu, format, buffer);
  for (unsigned i = 0; i < 8; ++i) {
    const FpuState::Register& value = x87_stack(cpu.fpu, i);
    uint8_t* place = buffer.data() + format.size() + kRegisterBytes * i;
    std::memcpy(place, &value.significand, 8);
    std::memcpy(place + 8, &value.exponent, 2);
  }
  store_buffer(cpu, insn, format, buffer, format.size() + 8 * kRegisterBytes);
  reset_x87(cpu.fpu);
}

void frstor(Cpu& cpu, const Insn& insn) {
  check_pending_x87(cpu);
  Buffer buffer{};
  const Layout format = layout(cpu, insn);
  load_buffer(cpu, insn, format, buffer, format.size() + 8 * kRegisterBytes);
  load_environment(cpu.fpu, format, buffer);
  for (unsigned i = 0; i < 8; ++i) {
    FpuState::Register& value = x87_stack(cpu.fpu, i);
    const uint8_t* place = buffer.data() + format.size() + kRegisterBytes * i;
    std::memcpy(&value.significand, place, 8);
    std::memcpy(&value.exponent, place + 8, 2);
  }
}

constexpr Row kRows[] = {
    {"fwait", "9B", "", only<fwait>},
    {"fldenv", "D9 /4 mem", "Mm", only<fldenv>, kX87},
    {"fldcw", "D9 /5 mem", "Mw", only<fldcw>, kX87},
    {"fnstenv", "D9 /6 mem", "Mm", only<fnstenv>, kX87},
    {"fnstcw", "D9 /7 mem", "Mw", only<fnstcw>, kX87},
    {"fneni", "DB E0", "", only<nothing>, kX87},
    {"fndisi", "DB E1", "", only<nothing>, kX87},
    {"fnclex", "DB E2", "", only<fnclex>, kX87},
    {"fninit", "DB E3", "", only<fninit>, kX87},
    {"fnsetpm", "DB E4", "", only<nothing>, kX87},
    {"frstor", "DD /4 mem", "Mm", only<frstor>, kX87},
    {"fnsave", "DD /6 mem", "Mm", only<fnsave>, kX87},
    {"fnstsw", "DD /7 mem", "Mw", only<fnstsw>, kX87},
    {"fnstsw", "DF E0", "AX", only<fnstsw_ax>, kX87},
};

}  // namespace

std::span<const Row> x87_control_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
