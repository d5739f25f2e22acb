// The ports through which a guest resets the machine: 0xCF9, the fast reset in 0x92, and the keyboard
// controller's reset pulse at 0x64 (of the controller nothing else is there; the FADT says so).
#pragma once

#include <atomic>
#include <functional>

#include "bus/bus.h"

namespace alcove::chips {

class ResetControl {
 public:
  static constexpr uint16_t kPort = 0xcf9;
  static constexpr uint8_t kResetValue = 0x06;  // What the FADT tells guests to write.

  // Called on a virtual CPU's thread.
  explicit ResetControl(std::function<void()> reset);

  // Port 0xCF9 lies within PCI's address register, so that whoever owns 0xCF8 forwards byte accesses.
  bus::Device& reset_port() { return reset_port_; }
  bus::Device& fast_port() { return fast_port_; }          // 0x92
  bus::Device& keyboard_port() { return keyboard_port_; }  // 0x64
  void reset() { reset_type_ = 0; }

 private:
  struct ResetPort final : bus::Device {
    explicit ResetPort(ResetControl& control) : owner(control) {}
    bus::Access read(uint64_t offset, std::span<std::byte> data) override;
    bus::Access write(uint64_t offset, std::span<const std::byte> data) override;
    ResetControl& owner;
  };
  struct FastPort final : bus::Device {
    explicit FastPort(ResetControl& control) : owner(control) {}
    bus::Access read(uint64_t offset, std::span<std::byte> data) override;
    bus::Access write(uint64_t offset, std::span<const std::byte> data) override;
    ResetControl& owner;
  };
  struct KeyboardPort final : bus::Device {
    explicit KeyboardPort(ResetControl& control) : owner(control) {}
    bus::Access read(uint64_t offset, std::span<std::byte> data) override;
    bus::Access write(uint64_t offset, std::span<const std::byte> data) override;
    ResetControl& owner;
  };

  std::function<void()> reset_;
  std::atomic<uint8_t> reset_type_{0};
  ResetPort reset_port_{*this};
  FastPort fast_port_{*this};
  KeyboardPort keyboard_port_{*this};
};

}  // namespace alcove::chips
