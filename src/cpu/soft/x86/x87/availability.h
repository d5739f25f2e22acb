// Which faults come before any x87, MMX or FXSAVE instruction does something (Intel SDM vol. 3, 2.5
// and 6.15).
#pragma once

#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

inline constexpr uint64_t kCr0Monitor = 1u << 1;
inline constexpr uint64_t kCr0Emulate = 1u << 2;
inline constexpr uint64_t kCr0TaskSwitched = 1u << 3;
inline constexpr uint64_t kCr0NumericError = 1u << 5;
inline constexpr uint64_t kCr4OsFxsr = 1u << 9;

inline constexpr uint16_t kErrorSummary = 1u << 7;

// x87 instructions that don't wait for pending exceptions, FXSAVE and FXRSTOR.
inline void check_x87_no_wait(Cpu& cpu) {
  if (cpu.cr0 & (kCr0Emulate | kCr0TaskSwitched)) [[unlikely]]
    raise(cpu, kDeviceNotAvailable);
}

// A pending exception is #MF with CR0.NE. Without it a PC's chip set would turn FERR# into IRQ 13; no guest
// that runs here relies on that (NE=1 since the 486), so the exception is ignored, as with IGNNE# asserted.
inline void check_pending_x87(Cpu& cpu) {
  if ((cpu.fpu.status & kErrorSummary) && (cpu.cr0 & kCr0NumericError)) [[unlikely]]
    raise(cpu, kX87Error);
}

inline void check_x87(Cpu& cpu) {
  check_x87_no_wait(cpu);
  check_pending_x87(cpu);
}

inline void check_mmx(Cpu& cpu) {
  if (cpu.cr0 & (kCr0Emulate | kCr0TaskSwitched)) [[unlikely]]
    raise(cpu, cpu.cr0 & kCr0Emulate ? kInvalidOpcode : kDeviceNotAvailable);
  check_pending_x87(cpu);
}

// Every MMX instruction but EMMS makes all registers valid and R0 the top (Intel SDM vol. 1, 9.5.1).
inline void enter_mmx(Cpu& cpu) {
  cpu.fpu.tag = 0;
  cpu.fpu.status &= static_cast<uint16_t>(~0x3800);
}

}  // namespace alcove::cpu::soft
