// Views of the x87 state: stack, tags, error summary, and the 512-byte image of FXSAVE.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

inline constexpr uint16_t kX87Exceptions = 0x3f;     // IE DE ZE OE UE PE
inline constexpr uint16_t kX87StackFault = 1u << 6;  // SF
inline constexpr uint16_t kErrorSummary = 1u << 7;
inline constexpr uint16_t kX87Busy = 1u << 15;
inline constexpr uint16_t kX87ControlReset = 0x37f;

inline unsigned x87_top(const FpuState& fpu) {
  return fpu.status >> 11 & 7;
}
inline FpuState::Register& x87_stack(FpuState& fpu, unsigned i) {
  return fpu.physical[(x87_top(fpu) + i) & 7];
}

inline const FpuState::Register& x87_stack(const FpuState& fpu, unsigned i) {
  return fpu.physical[(x87_top(fpu) + i) & 7];
}

// FpuState::tag tells only empty (3) from not empty (0); one bit for each physical register says the same.
uint8_t x87_valid_registers(const FpuState& fpu);
void set_x87_valid_registers(FpuState& fpu, uint8_t valid);
// The tag word as FNSTENV shows it: valid, zero or special by content (Intel SDM vol. 1, 8.1.7).
uint16_t x87_tag_word(const FpuState& fpu);
void set_x87_tag_word(FpuState& fpu, uint16_t tag);

// Reserved bits keep their value.
void set_x87_control(FpuState& fpu, uint16_t control);

// ES and B follow from the exception flags and their masks. To be called after either was loaded.
void update_x87_summary(FpuState& fpu);

// FNINIT. The pointers are cleared too.
void reset_x87(FpuState& fpu);

// The image of FXSAVE (Intel SDM vol. 1, 10.5.1); its bytes from 416 on belong to the guest. `wide` is the
// REX.W form, with 64-bit pointers instead of 32-bit ones with selectors.
struct alignas(16) FxImage {
  std::array<std::byte, 512> bytes;
};
inline constexpr size_t kFxImageXmm = 160;

// These leave MXCSR and the XMM registers to fxsave.cpp; bytes they don't speak of become 0 up to the former.
void save_x87_image(const FpuState& fpu, FxImage& image, bool wide);
void load_x87_image(FpuState& fpu, const FxImage& image, bool wide);
// Only registers, tags and status word.
void load_x87_registers(FpuState& fpu, const FxImage& image);

}  // namespace alcove::cpu::soft
