#include "cpu/soft/x86/x87/state.h"

#include <cstring>

namespace alcove::cpu::soft {
namespace {

constexpr uint16_t kEmpty = 3;

template <class T>
void put(FxImage& image, size_t offset, T value) {
  std::memcpy(image.bytes.data() + offset, &value, sizeof value);
}
template <class T>
T get(const FxImage& image, size_t offset) {
  T value;
  std::memcpy(&value, image.bytes.data() + offset, sizeof value);
  return value;
}

uint16_t tag_of(const FpuState::Register& value) {
  const uint16_t exponent = value.exponent & 0x7fff;
  if (exponent == 0 && value.significand == 0) return 1;
  return exponent != 0 && exponent != 0x7fff && value.significand >> 63 ? 0 : 2;
}

}  // namespace

uint8_t x87_valid_registers(const FpuState& fpu) {
  uint8_t valid = 0;
  for (unsigned i = 0; i < 8; ++i)
    if ((fpu.tag >> 2 * i & 3) != kEmpty) valid |= static_cast<uint8_t>(1u << i);
  return valid;
}

void set_x87_valid_registers(FpuState& fpu, uint8_t valid) {
  uint16_t tag = 0;
  for (unsigned i = 0; i < 8; ++i)
    if (!(valid >> i & 1)) tag |= static_cast<uint16_t>(kEmpty << 2 * i);
  fpu.tag = tag;
}

uint16_t x87_tag_word(const FpuState& fpu) {
  uint16_t tag = 0;
  for (unsigned i = 0; i < 8; ++i) {
    const bool empty = (fpu.tag >> 2 * i & 3) == kEmpty;
    tag |= static_cast<uint16_t>((empty ? kEmpty : tag_of(fpu.physical[i])) << 2 * i);
  }
  return tag;
}

void set_x87_tag_word(FpuState& fpu, uint16_t tag) {
  fpu.tag = 0;
  for (unsigned i = 0; i < 8; ++i)
    if ((tag >> 2 * i & 3) == kEmpty) fpu.tag |= static_cast<uint16_t>(kEmpty << 2 * i);
}

void set_x87_control(FpuState& fpu, uint16_t control) {
  fpu.control = static_cast<uint16_t>((control & 0x1f3f) | 0x40);
}

void update_x87_summary(FpuState& fpu) {
  fpu.status &= static_cast<uint16_t>(~(kErrorSummary | kX87Busy));
  if (fpu.status & ~fpu.control & kX87Exceptions) fpu.status |= kErrorSummary | kX87Busy;
}

void reset_x87(FpuState& fpu) {
  fpu.control = kX87ControlReset;
  fpu.status = 0;
  fpu.tag = 0xffff;
  fpu.last_opcode = 0;
  fpu.last_instruction = 0;
  fpu.last_data = 0;
  fpu.last_instruction_selector = 0;
  fpu.last_data_selector = 0;
}

void save_x87_image(const FpuState& fpu, FxImage& image, bool wide) {
  std::memset(image.bytes.data(), 0, kFxImageXmm);
  put(image, 0, fpu.control);
  put(image, 2, fpu.status);
  put<uint16_t>(image, 4, x87_valid_registers(fpu));
  put(image, 6, fpu.last_opcode);
  put(image, 8, fpu.last_instruction);
  put(image, 16, fpu.last_data);
  if (!wide) {
    put<uint32_t>(image, 12, fpu.last_instruction_selector);
    put<uint32_t>(image, 20, fpu.last_data_selector);
  }
  for (unsigned i = 0; i < 8; ++i) {
    const FpuState::Register& value = x87_stack(fpu, i);
    put(image, 32 + 16 * i, value.significand);
    put(image, 40 + 16 * i, value.exponent);
  }
}

void load_x87_registers(FpuState& fpu, const FxImage& image) {
  fpu.status = get<uint16_t>(image, 2);
  set_x87_valid_registers(fpu, get<uint8_t>(image, 4));
  for (unsigned i = 0; i < 8; ++i)
    x87_stack(fpu, i) = {get<uint64_t>(image, 32 + 16 * i), get<uint16_t>(image, 40 + 16 * i)};
}

void load_x87_image(FpuState& fpu, const FxImage& image, bool wide) {
  load_x87_registers(fpu, image);
  set_x87_control(fpu, get<uint16_t>(image, 0));
  fpu.last_opcode = get<uint16_t>(image, 6) & 0x7ff;
  fpu.last_instruction = get<uint64_t>(image, 8);
  fpu.last_data = get<uint64_t>(image, 16);
  fpu.last_instruction_selector = 0;
  fpu.last_data_selector = 0;
  if (!wide) {
    fpu.last_instruction_selector = get<uint16_t>(image, 12);
    fpu.last_instruction &= 0xffffffff;
    fpu.last_data_selector = get<uint16_t>(image, 20);
    fpu.last_data &= 0xffffffff;
  }
  update_x87_summary(fpu);
}

}  // namespace alcove::cpu::soft
