// Control and debug registers, and the instructions that flush what depends on them (Intel SDM vol. 3, 2.5).
#include "cpu/soft/apic/apic.h"
#include "cpu/soft/x86/cpuid.h"
#include "cpu/soft/x86/debug.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/system/handlers.h"
#include "cpu/soft/x86/system/segments.h"

namespace alcove::cpu::soft {
namespace {

// CR0
constexpr uint64_t kPe = 1u << 0, kTs = 1u << 3, kEt = 1u << 4, kWp = 1u << 16, kNw = 1u << 29,
                   kCd = 1u << 30, kPg = 1u << 31;
constexpr uint64_t kCr0Writable = 0xe005002f;
// CR4
constexpr uint64_t kDe = 1u << 3, kPse = 1u << 4, kPae = 1u << 5, kPge = 1u << 7, kUmip = 1u << 11,
                   kPcide = 1u << 17, kOsxsave = 1u << 18, kSmep = 1u << 20;
// TSD, DE, PSE, PAE, MCE, PGE, PCE, OSFXSR, OSXMMEXCPT, UMIP, FSGSBASE, PCIDE, OSXSAVE, SMEP. Not SMAP
// (cpuid.cpp).
constexpr uint64_t kCr4Writable = 0x130ffc | kOsxsave;
constexpr uint64_t kLme = 1u << 8, kLma = 1u << 10;  // EFER
constexpr uint64_t kNoFlush = uint64_t{1} << 63;     // CR3

[[noreturn]] void refuse(Cpu& cpu) {
  raise(cpu, kGeneralProtection, 0);
}

uint64_t operand(const Cpu& cpu, unsigned number) {
  return cpu.in_64bit() ? cpu.gpr[number] : static_cast<uint32_t>(cpu.gpr[number]);
}

void write_cr0(Cpu& cpu, uint64_t value) {
  if (value >> 32) refuse(cpu);
  value = (value & kCr0Writable) | kEt;
  const uint64_t changed = value ^ cpu.cr0;
  if ((value & kPg) && !(value & kPe)) refuse(cpu);
  if ((value & kNw) && !(value & kCd)) refuse(cpu);
  uint64_t efer = cpu.efer;
  if (changed & kPg) {
    if (value & kPg) {
      if (efer & kLme) {
        if (!(cpu.cr4 & kPae) || cpu.segments[cs].long_mode()) refuse(cpu);
        efer |= kLma;
      }
    } else {
      if (cpu.in_64bit() || (cpu.cr4 & kPcide)) refuse(cpu);
      efer &= ~kLma;
    }
  }
  cpu.cr0 = value;
  cpu.efer = efer;
  if (changed & kPe) cpu.cpl = 0;
  if (changed & (kPg | kPe | kWp)) flush_tlb(cpu, true);
  update_mode(cpu);
}

void write_cr3(Cpu& cpu, uint64_t value) {
  const bool keep = (cpu.cr4 & kPcide) && (value & kNoFlush);
  if (cpu.cr4 & kPcide) value &= ~kNoFlush;
  if (cpu.long_mode() && value >> kPhysicalAddressBits) refuse(cpu);
  cpu.cr3 = value;
  switch_address_space(cpu, keep);
}

void write_cr4(Cpu& cpu, uint64_t value) {
  if (value & ~kCr4Writable) refuse(cpu);
  const uint64_t changed = value ^ cpu.cr4;
  if (cpu.long_mode() && !(value & kPae)) refuse(cpu);
  if ((changed & value & kPcide) && (!cpu.long_mode() || (cpu.cr3 & 0xfff))) refuse(cpu);
  cpu.cr4 = value;
  if (changed & (kPse | kPae | kPge | kSmep | kPcide)) flush_tlb(cpu, true);
  update_mode(cpu);
}

// DR4 and DR5 stand for DR6 and DR7 unless CR4.DE reserves them.
unsigned debug_register(Cpu& cpu, const Insn& insn) {
  unsigned number = insn.reg;
  if (number > 7) raise(cpu, kInvalidOpcode);
  if (number == 4 || number == 5) {
    if (cpu.cr4 & kDe) raise(cpu, kInvalidOpcode);
    number += 2;
  }
  require_cpl0(cpu);
  if (cpu.dr[7] & 0x2000) {  // GD: somebody watches these registers.
    cpu.fault = {.vector = kDebug, .debug_bits = 1u << 13, .is_trap = false};
    cpu.rip = cpu.this_rip();
    longjmp(cpu.fault_exit, 1);
  }
  return number;
}

}  // namespace

void read_control(Cpu& cpu, const Insn& insn) {
  require_cpl0(cpu);
  uint64_t value = 0;
  switch (insn.reg) {
    case 0:
      value = cpu.cr0;
      break;
    case 2:
      value = cpu.cr2;
      break;
    case 3:
      value = cpu.cr3;
      break;
    case 4:
      value = cpu.cr4;
      break;
    case 8:
      value = cpu.apic->cr8();
      break;
    default:
      raise(cpu, kInvalidOpcode);
  }
  write_sized(cpu, insn.rm, value, cpu.in_64bit() ? 8 : 4);
}

void write_control(Cpu& cpu, const Insn& insn) {
  require_cpl0(cpu);
  const uint64_t value = operand(cpu, insn.rm);
  switch (insn.reg) {
    case 0:
      write_cr0(cpu, value);
      break;
    case 2:
      cpu.cr2 = value;
      break;
    case 3:
      write_cr3(cpu, value);
      break;
    case 4:
      write_cr4(cpu, value);
      break;
    case 8:
      if (value > 15) refuse(cpu);
      cpu.apic->set_cr8(value);
      break;
    default:
      raise(cpu, kInvalidOpcode);
  }
  finish(cpu);
}

void read_debug(Cpu& cpu, const Insn& insn) {
  const unsigned number = debug_register(cpu, insn);
  write_sized(cpu, insn.rm, cpu.dr[number], cpu.in_64bit() ? 8 : 4);
}

void write_debug(Cpu& cpu, const Insn& insn) {
  const unsigned number = debug_register(cpu, insn);
  const uint64_t value = operand(cpu, insn.rm);
  if (number >= 6 && value >> 32) refuse(cpu);
  const bool watched = cpu.dr[7] & 0xff;
  if (number == 6)
    cpu.dr[6] = (value & 0xe00f) | 0xffff0ff0;
  else if (number == 7)
    cpu.dr[7] = (value & 0xffff23ff) | 0x400;
  else
    cpu.dr[number] = value;
  // Pages with breakpoints must leave the translation cache, or may come back.
  if (number != 6 && (watched || (cpu.dr[7] & 0xff))) flush_tlb(cpu, true);
  update_debug_mode(cpu);
  finish(cpu);
}

void clear_task_switched(Cpu& cpu, const Insn&) {
  require_cpl0(cpu);
  cpu.cr0 &= ~kTs;
  update_mode(cpu);
  finish(cpu);
}

void store_machine_status(Cpu& cpu, const Insn& insn) {
  if ((cpu.cr4 & kUmip) && cpu.cpl > 0) refuse(cpu);
  write_word(cpu, insn, cpu.cr0);
}

void load_machine_status(Cpu& cpu, const Insn& insn) {
  require_cpl0(cpu);
  const uint16_t value = read_rm<uint16_t>(cpu, insn);
  // PE can be set but not cleared this way.
  write_cr0(cpu, (cpu.cr0 & ~uint64_t{0xe}) | (value & 0xf));
  finish(cpu);
}

void invalidate_page(Cpu& cpu, const Insn& insn) {
  require_cpl0(cpu);
  const uint64_t offset = effective_offset(cpu, insn);
  const uint64_t address = cpu.segment_base[insn.segment] + offset;
  if (!cpu.in_64bit())
    flush_page(cpu, static_cast<uint32_t>(address));
  else if (is_canonical(address))
    flush_page(cpu, address);
  finish(cpu);
}

void invalidate_pcid(Cpu& cpu, const Insn& insn) {
  require_cpl0(cpu);
  const uint64_t type = operand(cpu, insn.reg);
  const uint64_t descriptor = linear_address(cpu, insn, 16, false);
  const auto pcid = load<uint64_t>(cpu, descriptor);
  const auto address = load<uint64_t>(cpu, descriptor + 8);
  if (type > 3 || pcid >> 12) refuse(cpu);
  if (type < 2 && pcid != 0 && !(cpu.cr4 & kPcide)) refuse(cpu);
  switch (type) {
    case 0:
      if (!is_canonical(address)) refuse(cpu);
      flush_page(cpu, static_cast<unsigned>(pcid), address);
      break;
    case 1:
      flush_pcid(cpu, static_cast<unsigned>(pcid));
      break;
    case 2:
      flush_tlb(cpu, true);
      break;
    case 3:
      flush_tlb(cpu, false);
      break;
  }
  finish(cpu);
}

// WBINVD and INVD: the host's caches are coherent.
void invalidate_caches(Cpu& cpu, const Insn&) {
  require_cpl0(cpu);
}

}  // namespace alcove::cpu::soft
