#include "chips/pic.h"

namespace alcove::chips {

bus::Access Pic::read(uint64_t offset, std::span<std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  std::lock_guard lock(mutex_);
  data[0] = std::byte{offset == 1 ? mask_ : uint8_t{0}};  // Nothing requested, nothing in service.
  return bus::Access::done;
}

bus::Access Pic::write(uint64_t offset, std::span<const std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  const auto value = std::to_integer<uint8_t>(data[0]);
  std::lock_guard lock(mutex_);
  if (offset == 0) {
    if (value & 0x10) {  // ICW1; ICW2 follows, ICW3 unless single, ICW4 if asked for (8259A datasheet).
      words_due_ = 1 + !(value & 2) + (value & 1);
      mask_ = 0;
    }
  } else if (words_due_ > 0) {
    --words_due_;
  } else {
    mask_ = value;
  }
  return bus::Access::done;
}

void Pic::reset() {
  std::lock_guard lock(mutex_);
  mask_ = 0xff;
  words_due_ = 0;
}

bus::Access EdgeLevelControl::read(uint64_t offset, std::span<std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  std::lock_guard lock(mutex_);
  data[0] = std::byte{level_[offset]};
  return bus::Access::done;
}

bus::Access EdgeLevelControl::write(uint64_t offset, std::span<const std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  // Interrupts 0, 1, 2, 8 and 13 are always edges.
  static constexpr std::array<uint8_t, 2> kWritable{0xf8, 0xde};
  std::lock_guard lock(mutex_);
  level_[offset] = std::to_integer<uint8_t>(data[0]) & kWritable[offset];
  return bus::Access::done;
}

void EdgeLevelControl::reset() {
  std::lock_guard lock(mutex_);
  level_ = {};
}

}  // namespace alcove::chips
