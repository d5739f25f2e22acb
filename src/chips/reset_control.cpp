#include "chips/reset_control.h"

namespace alcove::chips {

namespace {
constexpr uint8_t kFullReset = 1 << 1, kResetNow = 1 << 2;   // 0xCF9: type in bits 1 and 3, bit 2 starts it.
constexpr uint8_t kFastReset = 1 << 0, kA20 = 1 << 1;        // 0x92
constexpr uint8_t kPulseReset = 0xfe;                        // Keyboard controller command.
constexpr uint8_t kTimeout = 1 << 6, kParityError = 1 << 7;  // Keyboard controller status.
}  // namespace

ResetControl::ResetControl(std::function<void()> reset) : reset_(std::move(reset)) {}

bus::Access ResetControl::ResetPort::read(uint64_t, std::span<std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  data[0] = std::byte{owner.reset_type_.load()};
  return bus::Access::done;
}

bus::Access ResetControl::ResetPort::write(uint64_t, std::span<const std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  const auto value = std::to_integer<uint8_t>(data[0]);
  owner.reset_type_ = value & kFullReset;
  if (value & kResetNow) owner.reset_();
  return bus::Access::done;
}

bus::Access ResetControl::FastPort::read(uint64_t, std::span<std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  data[0] = std::byte{kA20};
  return bus::Access::done;
}

bus::Access ResetControl::FastPort::write(uint64_t, std::span<const std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  if (std::to_integer<uint8_t>(data[0]) & kFastReset) owner.reset_();
  return bus::Access::done;
}

bus::Access ResetControl::KeyboardPort::read(uint64_t, std::span<std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  // Both buffers empty: a guest that waits to send the pulse does not wait. And no keyboard: EFI firmware
  // would wait for its answers, each for as long as one could take.
  data[0] = std::byte{kTimeout | kParityError};
  return bus::Access::done;
}

bus::Access ResetControl::KeyboardPort::write(uint64_t, std::span<const std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  if (std::to_integer<uint8_t>(data[0]) == kPulseReset) owner.reset_();
  return bus::Access::done;
}

}  // namespace alcove::chips
