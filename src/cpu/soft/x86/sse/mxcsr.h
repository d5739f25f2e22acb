// SSE arithmetic runs on the host's SSE unit under the guest's MXCSR.
//
// As long as the guest masks all SSE exceptions, as nearly every guest does, its rounding mode, DAZ, FTZ and
// sticky flags stay loaded in the host's MXCSR between instructions ("resident"). Code that leaves the engine
// (devices, the end of run()) calls release_mxcsr() first, so that the rest of the process computes under the
// host's own MXCSR and leaves no flags behind in the guest's.
#pragma once

#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

// Intel SDM vol. 1, 10.2.3.
inline constexpr uint32_t kMxcsrFlags = 0x3f;       // IE DE ZE OE UE PE
inline constexpr uint32_t kMxcsrMasks = 0x3f << 7;  // IM DM ZM OM UM PM
inline constexpr uint32_t kMxcsrUnderflowMask = 1u << 11;
inline constexpr uint32_t kMxcsrFlushToZero = 1u << 15;
inline constexpr uint32_t kMxcsrWritable = 0xffff;  // MXCSR_MASK; loading anything else is #GP.
inline constexpr uint32_t kMxcsrDefault = 0x1f80;

// The guest's MXCSR whole.
uint32_t read_mxcsr(Cpu& cpu);
void write_mxcsr(Cpu& cpu, uint32_t value);

// Gives the host's MXCSR back to the host.
void release_mxcsr(Cpu& cpu);

namespace detail {

// Makes the host's MXCSR fit for an operation. True if the guest unmasks exceptions, so that
// is_to_be_repeated() has to look at what the operation raised.
bool begin_operation(Cpu& cpu);
// Raises #XM (or #UD without CR4.OSXMMEXCPT) if the operation met an exception that the guest unmasks; for
// some it has to see the operation once more.
bool is_to_be_repeated(Cpu& cpu);

}  // namespace detail

// Runs `operation`, whose arithmetic must be in volatile assembler statements: those the compiler keeps
// between the ones that load and read MXCSR. Does not return if the guest has to see an exception; so it is
// called before the instruction changes anything.
template <class Operation>
[[gnu::always_inline]] inline auto under_mxcsr(Cpu& cpu, Operation operation) {
  bool checked = false;
  if (!cpu.fpu.mxcsr_resident) [[unlikely]]
    checked = detail::begin_operation(cpu);
  auto result = operation();
  if (checked) [[unlikely]]
    while (detail::is_to_be_repeated(cpu)) result = operation();
  return result;
}

}  // namespace alcove::cpu::soft
