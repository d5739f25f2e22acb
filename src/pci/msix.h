// MSI-X: the vector table and the pending bits (PCI Local Bus 3.0, section 6.8.2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "bus/bus.h"

namespace alcove::pci {

// Any thread.
class Msix {
 public:
  // `count` vectors, 1 to 2048.
  Msix(unsigned count, bus::MessageSink& sink) : sink_(sink), entries_(count), pending_(count) {}

  unsigned count() const { return static_cast<unsigned>(entries_.size()); }
  // The message control register of the capability; the capability's body with table and pending bits at
  // these offsets of one BAR.
  uint16_t control() const { return static_cast<uint16_t>(count() - 1); }
  std::vector<std::byte> capability(unsigned bar, uint32_t table_offset, uint32_t pending_offset) const;
  static std::vector<std::byte> capability_writable();

  void set_control(uint16_t control);  // The guest wrote the message control register.
  void reset();

  // Sends the vector's message, or remembers it while it is masked. False if MSI-X is not enabled: use INTx.
  bool notify(unsigned vector);

  // Accesses of 4 or 8 bytes, aligned, so that none runs over the end.
  bus::Access read_table(uint64_t offset, std::span<std::byte> data);
  bus::Access write_table(uint64_t offset, std::span<const std::byte> data);
  bus::Access read_pending(uint64_t offset, std::span<std::byte> data);

 private:
  struct Entry {
    uint32_t address_low = 0;
    uint32_t address_high = 0;
    uint32_t data = 0;
    uint32_t control = 1;  // Masked.
  };
  static_assert(sizeof(Entry) == 16);
  bool masked(unsigned vector) const { return function_masked_ || entries_[vector].control & 1; }
  void send(unsigned vector);
  void send_pending();

  bus::MessageSink& sink_;
  std::mutex mutex_;  // Guards all below.
  std::vector<Entry> entries_;
  std::vector<bool> pending_;
  bool enabled_ = false;
  bool function_masked_ = false;
};

}  // namespace alcove::pci
