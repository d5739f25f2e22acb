#include "cpu/soft/x86/sse/mxcsr.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kCr4OsXmmExceptions = 1u << 10;
constexpr uint32_t kBeforeComputation = 0x07;  // IE DE ZE

void set_host_mxcsr(uint32_t value) {
  asm volatile("ldmxcsr %0" : : "m"(value));
}

uint32_t host_mxcsr() {
  uint32_t value = 0;
  asm volatile("stmxcsr %0" : "=m"(value));
  return value;
}

}  // namespace

uint32_t read_mxcsr(Cpu& cpu) {
  if (cpu.fpu.mxcsr_resident) cpu.fpu.mxcsr |= host_mxcsr() & kMxcsrFlags;
  return cpu.fpu.mxcsr;
}

void release_mxcsr(Cpu& cpu) {
  if (!cpu.fpu.mxcsr_resident) return;
  read_mxcsr(cpu);
  set_host_mxcsr(kMxcsrDefault);
  cpu.fpu.mxcsr_resident = false;
}

void write_mxcsr(Cpu& cpu, uint32_t value) {
  release_mxcsr(cpu);
  cpu.fpu.mxcsr = value;
}

namespace detail {

bool begin_operation(Cpu& cpu) {
  const uint32_t mxcsr = cpu.fpu.mxcsr;
  if ((mxcsr & kMxcsrMasks) == kMxcsrMasks) {
    set_host_mxcsr(mxcsr);
    cpu.fpu.mxcsr_resident = true;
    return false;
  }
  // Masked for the host: nothing may trap here. Unmasked underflow happens for every tiny result and not only
  // for inexact ones (SDM vol. 1, 4.9.1.5), and then FTZ doesn't matter; flushing to zero makes the host
  // report exactly that.
  uint32_t host = (mxcsr & ~kMxcsrFlags) | kMxcsrMasks;
  if (!(mxcsr & kMxcsrUnderflowMask)) host |= kMxcsrFlushToZero;
  set_host_mxcsr(host);
  return true;
}

void finish_checked(Cpu& cpu) {
  uint32_t met = host_mxcsr() & kMxcsrFlags;
  set_host_mxcsr(kMxcsrDefault);
  const uint32_t unmasked = met & ~(cpu.fpu.mxcsr >> 7);
  // An unmasked exception found in an operand keeps the operation from being carried out at all.
  if (unmasked & kBeforeComputation) met &= kBeforeComputation;
  cpu.fpu.mxcsr |= met;
  if (unmasked) raise(cpu, cpu.cr4 & kCr4OsXmmExceptions ? kSimdError : kInvalidOpcode);
}

}  // namespace detail
}  // namespace alcove::cpu::soft
