// The pair of 8259 interrupt controllers as far as a guest with an I/O APIC meets them: it looks whether they
// keep their masks, then masks them for good. No interrupt ever comes through them.
#pragma once

#include <array>
#include <mutex>

#include "bus/bus.h"

namespace alcove::chips {

class Pic final : public bus::Device {
 public:
  // Two ports: one of the pair.
  bus::Access read(uint64_t offset, std::span<std::byte> data) override;
  bus::Access write(uint64_t offset, std::span<const std::byte> data) override;
  void reset();  // As after power-on, like every chip's.

 private:
  std::mutex mutex_;
  uint8_t mask_ = 0xff;
  unsigned words_due_ = 0;  // Initialisation words that the data port still takes.
};

// Edge/level control registers at 0x4D0 and 0x4D1: kept, as guests write and read them back.
class EdgeLevelControl final : public bus::Device {
 public:
  bus::Access read(uint64_t offset, std::span<std::byte> data) override;
  bus::Access write(uint64_t offset, std::span<const std::byte> data) override;
  void reset();

 private:
  std::mutex mutex_;
  std::array<uint8_t, 2> level_{};
};

}  // namespace alcove::chips
