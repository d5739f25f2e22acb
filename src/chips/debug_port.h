// The port at which firmware tells its developers what it does.
#pragma once

#include "bus/bus.h"
#include "support/unique_fd.h"

namespace alcove::chips {

class DebugPort final : public bus::Device {
 public:
  static constexpr uint16_t kPort = 0x402;

  // Everything goes to `log` as it comes; what that does not take is lost.
  explicit DebugPort(UniqueFd log) : log_(std::move(log)) {}

  bus::Access read(uint64_t offset, std::span<std::byte> data) override;
  bus::Access write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  UniqueFd log_;
};

}  // namespace alcove::chips
