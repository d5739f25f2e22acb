#pragma once

#include <alcove/error.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bus/bus.h"

namespace alcove::bus {

// Routes accesses in one address space to devices. Windows are added while the machine is built and stay
// until it is gone, so look-ups need no lock; what moves at run time (PCI BARs) is routed by the PCI root
// inside windows of its own. An access that no window holds whole, or that its device does not answer, reads
// as all ones.
class AddressMap {
 public:
  // Fails if the range is empty, wraps or overlaps another window. The device must outlive the map's last
  // use.
  Result<> add(uint64_t address, uint64_t size, Device& device, std::string name);

  void read(uint64_t address, std::span<std::byte> data) const;
  void write(uint64_t address, std::span<const std::byte> data) const;

  struct Window {
    uint64_t address;
    uint64_t size;
    Device* device;
    std::string name;
  };
  const std::vector<Window>& windows() const { return windows_; }

 private:
  const Window* find(uint64_t address, uint64_t size) const;

  std::vector<Window> windows_;  // Sorted by address, disjoint.
};

}  // namespace alcove::bus
