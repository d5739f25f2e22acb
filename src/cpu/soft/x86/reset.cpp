// The state after power-on, RESET and INIT (Intel SDM vol. 3, table 10-1).
#include "cpu/soft/x86/cpuid.h"
#include "cpu/soft/x86/debug.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/exceptions.h"

namespace alcove::cpu::soft {
namespace {

Segment power_on_segment(uint16_t selector, uint16_t access, uint64_t base) {
  Segment segment;
  segment.selector = selector;
  segment.access = access;
  segment.limit = 0xffff;
  segment.base = base;
  return segment;
}

void reset_model_specific_registers(Cpu& cpu) {
  cpu.star = cpu.lstar = cpu.cstar = cpu.sfmask = cpu.kernel_gs_base = 0;
  cpu.sysenter_cs = cpu.sysenter_esp = cpu.sysenter_eip = 0;
  cpu.pat = 0x0007040600070406;
  cpu.tsc_aux = 0;
  cpu.xcr0 = 1;
  cpu.system = {};
  cpu.fpu = {};
  cpu.fpu.control = 0x40;
  cpu.fpu.tag = 0x5555;
}

}  // namespace

void reset_registers(Cpu& cpu, bool power_on) {
  const uint64_t cache_bits = power_on ? 0x60000000 : cpu.cr0 & 0x60000000;
  cpu.gpr.fill(0);
  cpu.gpr[rdx] = kCpuSignature;
  cpu.insn = nullptr;
  cpu.rip = 0xfff0;
  cpu.flags.set_value(2);
  cpu.segments.fill(power_on_segment(0, 0x93, 0));
  cpu.segments[cs] = power_on_segment(0xf000, 0x9b, 0xffff0000);
  cpu.ldtr = power_on_segment(0, 0x82, 0);
  cpu.tr = power_on_segment(0, 0x8b, 0);
  cpu.gdtr = cpu.idtr = {.base = 0, .limit = 0xffff};
  cpu.cr0 = 0x10 | cache_bits;
  cpu.cr2 = cpu.cr3 = cpu.cr4 = 0;
  cpu.efer = 0;
  cpu.dr.fill(0);
  cpu.dr[6] = 0xffff0ff0;
  cpu.dr[7] = 0x400;
  cpu.cpl = 0;
  cpu.interrupt_shadow = false;
  cpu.halted = false;
  cpu.nmi_blocked = false;
  cpu.nmi_pending = 0;
  cpu.nmi_requests = 0;
  cpu.pending_debug = 0;
  cpu.in_delivery = InDelivery::nothing;
  cpu.wait_for_startup = cpu.index != 0;
  // Where the guest was told of is not its memory's purpose any more.
  cpu.system.kvm_steal_time = cpu.system.kvm_end_of_interrupt = 0;
  cpu.system.kvm_end_offered = cpu.system.kvm_kicked = false;
  if (power_on) reset_model_specific_registers(cpu);
  flush_tlb(cpu, true);
  update_mode(cpu);
  update_debug_mode(cpu);
}

}  // namespace alcove::cpu::soft
