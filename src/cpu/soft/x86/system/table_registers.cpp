// GDTR, IDTR, LDTR and TR (Intel SDM vol. 2: LGDT, LLDT, LTR and their counterparts).
#include "cpu/soft/x86/system/handlers.h"
#include "cpu/soft/x86/system/segments.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kUmip = 1u << 11;  // CR4

void check_umip(Cpu& cpu) {
  if ((cpu.cr4 & kUmip) && cpu.cpl > 0) raise(cpu, kGeneralProtection, 0);
}

void store_table(Cpu& cpu, const Insn& insn, const DescriptorTable& table) {
  check_umip(cpu);
  const bool is_long = cpu.in_64bit();
  const uint64_t address = linear_address(cpu, insn, is_long ? 10 : 6, true);
  probe_write(cpu, address, is_long ? 10 : 6);
  store<uint16_t>(cpu, address, table.limit);
  if (is_long)
    store<uint64_t>(cpu, address + 2, table.base);
  else
    store<uint32_t>(cpu, address + 2, static_cast<uint32_t>(table.base));
}

DescriptorTable read_table(Cpu& cpu, const Insn& insn) {
  require_cpl0(cpu);
  const bool is_long = cpu.in_64bit();
  const uint64_t address = linear_address(cpu, insn, is_long ? 10 : 6, false);
  DescriptorTable table;
  table.limit = load<uint16_t>(cpu, address);
  if (is_long) {
    table.base = load<uint64_t>(cpu, address + 2);
    if (!is_canonical(table.base)) raise(cpu, kGeneralProtection, 0);
  } else {
    table.base = load<uint32_t>(cpu, address + 2);
    if (insn.operand_size == 2) table.base &= 0xffffff;
  }
  return table;
}

// The descriptor of an LDT or TSS, with the upper half of its base in IA-32e mode.
Descriptor read_system_descriptor(Cpu& cpu, uint16_t selector) {
  if (selector & 4) raise(cpu, kGeneralProtection, selector & ~3u);
  Descriptor descriptor = read_descriptor(cpu, selector, kGeneralProtection);
  if (cpu.long_mode()) {
    descriptor.segment.base |= read_upper_half(cpu, descriptor, kGeneralProtection) << 32;
    if (!is_canonical(descriptor.segment.base)) raise(cpu, kGeneralProtection, selector & ~3u);
  }
  return descriptor;
}

}  // namespace

void store_gdt(Cpu& cpu, const Insn& insn) {
  store_table(cpu, insn, cpu.gdtr);
}
void store_idt(Cpu& cpu, const Insn& insn) {
  store_table(cpu, insn, cpu.idtr);
}
void load_gdt(Cpu& cpu, const Insn& insn) {
  cpu.gdtr = read_table(cpu, insn);
}
void load_idt(Cpu& cpu, const Insn& insn) {
  cpu.idtr = read_table(cpu, insn);
}

void store_ldt(Cpu& cpu, const Insn& insn) {
  check_umip(cpu);
  write_word(cpu, insn, cpu.ldtr.selector);
}

void store_task(Cpu& cpu, const Insn& insn) {
  check_umip(cpu);
  write_word(cpu, insn, cpu.tr.selector);
}

void load_ldt(Cpu& cpu, const Insn& insn) {
  require_cpl0(cpu);
  const auto selector = read_rm<uint16_t>(cpu, insn);
  if (is_null(selector)) {
    cpu.ldtr = {};
    cpu.ldtr.selector = selector;
    return;
  }
  const Descriptor descriptor = read_system_descriptor(cpu, selector);
  if (!is_system(descriptor.segment) || type_of(descriptor.segment) != kLdt)
    raise(cpu, kGeneralProtection, selector & ~3u);
  if (!descriptor.segment.present()) raise(cpu, kSegmentNotPresent, selector & ~3u);
  cpu.ldtr = descriptor.segment;
}

void load_task(Cpu& cpu, const Insn& insn) {
  require_cpl0(cpu);
  const auto selector = read_rm<uint16_t>(cpu, insn);
  if (is_null(selector)) raise(cpu, kGeneralProtection, 0);
  Descriptor descriptor = read_system_descriptor(cpu, selector);
  const unsigned type = type_of(descriptor.segment);
  if (!is_system(descriptor.segment) ||
      !(type == kTssAvailable || (type == kTss16Available && !cpu.long_mode())))
    raise(cpu, kGeneralProtection, selector & ~3u);
  if (!descriptor.segment.present()) raise(cpu, kSegmentNotPresent, selector & ~3u);
  descriptor.segment.access |= 2;  // Busy.
  store_system<uint8_t>(cpu, descriptor.address + 5, static_cast<uint8_t>(descriptor.segment.access));
  cpu.tr = descriptor.segment;
}

}  // namespace alcove::cpu::soft
