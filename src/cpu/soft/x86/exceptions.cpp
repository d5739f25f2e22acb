#include "cpu/soft/x86/exceptions.h"

#include "cpu/soft/apic/apic.h"

namespace alcove::cpu::soft {
namespace {

[[noreturn]] void leave(Cpu& cpu, const Fault& fault) {
  cpu.fault = fault;
  if (cpu.insn) cpu.rip = cpu.this_rip();
  longjmp(cpu.fault_exit, 1);
}

}  // namespace

void raise(Cpu& cpu, Vector vector) {
  leave(cpu, {.vector = vector});
}

void raise(Cpu& cpu, Vector vector, uint32_t error_code) {
  leave(cpu, {.vector = vector, .has_error_code = true, .error_code = error_code});
}

void raise_page_fault(Cpu& cpu, uint64_t address, uint32_t error_code) {
  leave(cpu, {.vector = kPageFault, .has_error_code = true, .error_code = error_code, .address = address});
}

void recheck_interrupts(Cpu& cpu) {
  if (cpu.apic && cpu.apic->has_requests())
    cpu.attention.fetch_or(kInterruptAttention, std::memory_order_release);
}

}  // namespace alcove::cpu::soft
