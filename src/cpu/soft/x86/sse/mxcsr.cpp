#include "cpu/soft/x86/sse/mxcsr.h"

#include "cpu/soft/x86/sse/host_exceptions.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kCr4OsXmmExceptions = 1u << 10;

thread_local bool repeated = false;  // Between begin_trapping() and end_trapping().

[[noreturn]] void raise_simd(Cpu& cpu, uint32_t flags) {
  cpu.fpu.mxcsr |= flags;
  raise(cpu, cpu.cr4 & kCr4OsXmmExceptions ? kSimdError : kInvalidOpcode);
}

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

bool is_to_be_repeated(Cpu& cpu) {
  const uint32_t met = host_mxcsr() & kMxcsrFlags;
  set_host_mxcsr(kMxcsrDefault);
  const uint32_t masks = cpu.fpu.mxcsr >> 7;
  if (repeated) {
    repeated = false;
    const uint32_t trapped = end_trapping();
    raise_simd(cpu, trapped ? trapped : met);
  }
  if (met & ~masks) {
    repeated = true;
    begin_trapping(cpu.fpu.mxcsr & ~kMxcsrFlags);
    return true;
  }
  cpu.fpu.mxcsr |= met;
  return false;
}

}  // namespace detail
}  // namespace alcove::cpu::soft
