// IN, OUT, INS and OUTS (Intel SDM vol. 1, chapter 19).
#include <array>
#include <cstring>

#include "cpu/soft/x86/debug.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/system/handlers.h"
#include "cpu/soft/x86/system/segments.h"

namespace alcove::cpu::soft {
namespace {

uint32_t read_port(Cpu& cpu, uint16_t port, unsigned size) {
  check_port_access(cpu, port, size);
  check_io_breakpoints(cpu, port, size);
  std::array<std::byte, 4> data{};
  io_handler(cpu).port_read(port, std::span(data).first(size));
  uint32_t value = 0;
  std::memcpy(&value, data.data(), size);
  return value;
}

void write_port(Cpu& cpu, uint16_t port, unsigned size, uint32_t value) {
  check_port_access(cpu, port, size);
  check_io_breakpoints(cpu, port, size);
  std::array<std::byte, 4> data;
  std::memcpy(data.data(), &value, sizeof value);
  io_handler(cpu).port_write(port, std::span<const std::byte>(data).first(size));
}

void input(Cpu& cpu, const Insn& insn, uint16_t port) {
  const uint32_t value = read_port(cpu, port, insn.operand_size);
  if (insn.operand_size == 1)
    write_gpr<uint8_t>(cpu, rax, static_cast<uint8_t>(value));
  else
    write_sized(cpu, rax, value, insn.operand_size);
}

uint16_t dx(const Cpu& cpu) {
  return read_gpr<uint16_t>(cpu, rdx);
}

uint64_t truncated(uint64_t value, unsigned size) {
  if (size == 8) return value;
  return size == 4 ? static_cast<uint32_t>(value) : static_cast<uint16_t>(value);
}

void step(Cpu& cpu, unsigned number, const Insn& insn) {
  const uint64_t delta = cpu.flags.test(kDf) ? -uint64_t{insn.operand_size} : uint64_t{insn.operand_size};
  write_sized(cpu, number, cpu.gpr[number] + delta, insn.address_size);
}

uint64_t string_address(Cpu& cpu, const Insn& insn, unsigned number, unsigned segment, bool write) {
  const uint64_t offset = truncated(cpu.gpr[number], insn.address_size);
  if (cpu.flat) return cpu.segment_base[segment] + offset;
  return check_segment(cpu, segment, offset, insn.operand_size, write);
}

void input_one(Cpu& cpu, const Insn& insn) {
  const uint64_t address = string_address(cpu, insn, rdi, es, true);
  check_port_access(cpu, dx(cpu), insn.operand_size);
  // Reading a port may not be repeatable: what can fault goes first.
  probe_write(cpu, address, insn.operand_size);
  const uint32_t value = read_port(cpu, dx(cpu), insn.operand_size);
  if (insn.operand_size == 1)
    store<uint8_t>(cpu, address, static_cast<uint8_t>(value));
  else if (insn.operand_size == 2)
    store<uint16_t>(cpu, address, static_cast<uint16_t>(value));
  else
    store<uint32_t>(cpu, address, value);
  step(cpu, rdi, insn);
}

void output_one(Cpu& cpu, const Insn& insn) {
  const uint64_t address = string_address(cpu, insn, rsi, insn.segment, false);
  const uint32_t value = insn.operand_size == 1   ? load<uint8_t>(cpu, address)
                         : insn.operand_size == 2 ? load<uint16_t>(cpu, address)
                                                  : load<uint32_t>(cpu, address);
  write_port(cpu, dx(cpu), insn.operand_size, value);
  step(cpu, rsi, insn);
}

template <class One>
void repeat(Cpu& cpu, const Insn& insn, One one) {
  if (!insn.rep && !insn.repne) return one(cpu, insn);
  // Back to the run loop now and then, so that interrupts are taken in time.
  constexpr unsigned kBatch = 256;
  for (unsigned i = 0; i < kBatch; ++i) {
    if (truncated(cpu.gpr[rcx], insn.address_size) == 0) return finish(cpu);
    one(cpu, insn);
    write_sized(cpu, rcx, cpu.gpr[rcx] - 1, insn.address_size);
    if (cpu.single_step || cpu.attention.load(std::memory_order_relaxed)) break;
  }
  if (truncated(cpu.gpr[rcx], insn.address_size) == 0) return finish(cpu);
  cpu.rip = truncate_rip(cpu, cpu.this_rip());
}

}  // namespace

void check_port_access(Cpu& cpu, uint16_t port, unsigned size) {
  if (cpu.real_mode()) return;
  const unsigned iopl = cpu.flags.system() >> 12 & 3;
  if (cpu.cpl <= iopl && !cpu.virtual_8086()) return;
  // The bitmap of the TSS, which is two bytes at a time and so has one byte of ones behind its end.
  constexpr unsigned kBitmapField = 0x66;
  if (!cpu.tr.present() || !(type_of(cpu.tr) & 8) || cpu.tr.limit < kBitmapField + 1)
    raise(cpu, kGeneralProtection, 0);
  const uint32_t offset = load_system<uint16_t>(cpu, cpu.tr.base + kBitmapField) + port / 8u;
  if (offset + 1 > cpu.tr.limit) raise(cpu, kGeneralProtection, 0);
  const uint32_t bits = load_system<uint16_t>(cpu, cpu.tr.base + offset);
  if (bits >> (port % 8) & ((1u << size) - 1)) raise(cpu, kGeneralProtection, 0);
}

void input_immediate(Cpu& cpu, const Insn& insn) {
  input(cpu, insn, static_cast<uint8_t>(insn.immediate));
}
void input_dx(Cpu& cpu, const Insn& insn) {
  input(cpu, insn, dx(cpu));
}

void output_immediate(Cpu& cpu, const Insn& insn) {
  write_port(cpu, static_cast<uint8_t>(insn.immediate), insn.operand_size,
             static_cast<uint32_t>(cpu.gpr[rax]));
}
void output_dx(Cpu& cpu, const Insn& insn) {
  write_port(cpu, dx(cpu), insn.operand_size, static_cast<uint32_t>(cpu.gpr[rax]));
}

void input_string(Cpu& cpu, const Insn& insn) {
  repeat(cpu, insn, input_one);
}
void output_string(Cpu& cpu, const Insn& insn) {
  repeat(cpu, insn, output_one);
}

}  // namespace alcove::cpu::soft
