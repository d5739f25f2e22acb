// RDMSR, WRMSR, the time stamp counter, CPUID and VMCALL.
#include "cpu/soft/x86/cpuid.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/system/handlers.h"
#include "cpu/soft/x86/system/model_specific.h"
#include "cpu/soft/x86/system/paravirtual.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kTsd = 1u << 2;  // CR4

void write_edx_eax(Cpu& cpu, uint64_t value) {
  cpu.gpr[rax] = static_cast<uint32_t>(value);
  cpu.gpr[rdx] = value >> 32;
}

void check_tsc_access(Cpu& cpu) {
  if (cpu.cpl > 0 && (cpu.cr4 & kTsd)) raise(cpu, kGeneralProtection, 0);
}

}  // namespace

void read_msr_instruction(Cpu& cpu, const Insn&) {
  require_cpl0(cpu);
  uint64_t value = 0;
  if (!read_model_specific(cpu, read_gpr<uint32_t>(cpu, rcx), value)) raise(cpu, kGeneralProtection, 0);
  write_edx_eax(cpu, value);
}

void write_msr_instruction(Cpu& cpu, const Insn&) {
  require_cpl0(cpu);
  const uint64_t value = read_gpr<uint32_t>(cpu, rax) | cpu.gpr[rdx] << 32;
  if (!write_model_specific(cpu, read_gpr<uint32_t>(cpu, rcx), value)) raise(cpu, kGeneralProtection, 0);
  finish(cpu);
}

void read_tsc(Cpu& cpu, const Insn&) {
  check_tsc_access(cpu);
  write_edx_eax(cpu, guest_tsc(cpu));
}

void read_tsc_and_processor(Cpu& cpu, const Insn&) {
  check_tsc_access(cpu);
  write_edx_eax(cpu, guest_tsc(cpu));
  cpu.gpr[rcx] = static_cast<uint32_t>(cpu.tsc_aux);
}

// RDPID
void read_processor(Cpu& cpu, const Insn& insn) {
  cpu.gpr[insn.rm] = static_cast<uint32_t>(cpu.tsc_aux);
}

// The model has no performance counters.
void read_counter(Cpu& cpu, const Insn&) {
  raise(cpu, kGeneralProtection, 0);
}

void identify(Cpu& cpu, const Insn&) {
  const auto leaf = read_gpr<uint32_t>(cpu, rax), subleaf = read_gpr<uint32_t>(cpu, rcx);
  const CpuidResult all = cpuid(cpu, leaf, subleaf);
  CpuidWords result{all.eax, all.ebx, all.ecx, all.edx};
  cpuid_filter(cpu).apply(leaf, subleaf, result);
  cpu.gpr[rax] = result.eax;
  cpu.gpr[rbx] = result.ebx;
  cpu.gpr[rcx] = result.ecx;
  cpu.gpr[rdx] = result.edx;
}

void hypervisor_call(Cpu& cpu, const Insn&) {
  cpu.gpr[rax] = kvm_hypercall(cpu);
}

}  // namespace alcove::cpu::soft
