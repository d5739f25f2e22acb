// Faults that come before any x87 or MMX instruction does something. That CR0.EM, CR0.TS and CR4.OSFXSR allow
// it at all is checked where blocks are decoded (row.h: kSse, kX87, kMmx).
#pragma once

#include "cpu/soft/x86/cpu.h"
#include "cpu/soft/x86/x87/state.h"

namespace alcove::cpu::soft {

inline constexpr uint64_t kCr0NumericError = 1u << 5;

// A pending exception is #MF with CR0.NE. Without it a PC's chip set would turn FERR# into IRQ 13; no guest
// that runs here relies on that (NE=1 since the 486), so the exception is ignored, as with IGNNE# asserted.
inline void check_pending_x87(Cpu& cpu) {
  if ((cpu.fpu.status & kErrorSummary) && (cpu.cr0 & kCr0NumericError)) [[unlikely]]
    raise(cpu, kX87Error);
}

// Every MMX instruction but EMMS makes all registers valid and R0 the top (Intel SDM vol. 1, 9.5.1).
inline void enter_mmx(Cpu& cpu) {
  cpu.fpu.tag = 0;
  cpu.fpu.status &= static_cast<uint16_t>(~0x3800);
}

}  // namespace alcove::cpu::soft
