// The firmware configuration device: items of bytes, by key or by name, that firmware reads through ports or
// by DMA. Read-only to the guest.
#pragma once

#include <alcove/error.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "bus/bus.h"
#include "memory/guest_memory.h"

namespace alcove::chips {

class FwCfg final : public bus::Device {
 public:
  // `memory` outlives the device.
  explicit FwCfg(memory::GuestMemory& memory);

  // No processor runs. Whatever was there under that key or name is replaced.
  void set_item(uint16_t key, std::vector<uint8_t> bytes);
  // Of at most 55 characters.
  void set_file(const std::string& name, std::vector<uint8_t> bytes);

  bus::Access read(uint64_t offset, std::span<std::byte> data) override;
  bus::Access write(uint64_t offset, std::span<const std::byte> data) override;
  void reset();

 private:
  void select(uint16_t key);
  void make_directory();
  // Copies what is left of the selected item, then zeros.
  void take(std::span<std::byte> out);
  void transfer(uint64_t request_address);
  uint32_t perform(uint32_t control, uint32_t length, uint64_t address);

  memory::GuestMemory& memory_;
  std::mutex mutex_;
  std::map<uint16_t, std::vector<uint8_t>> items_;
  std::vector<std::string> files_;  // In the order of their keys.
  const std::vector<uint8_t>* selected_ = nullptr;
  uint64_t position_ = 0;
  uint32_t dma_address_high_ = 0;
};

}  // namespace alcove::chips
