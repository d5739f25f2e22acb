#include "chips/pci_hot_plug.h"

#include <cstring>
#include <utility>

namespace alcove::chips {

PciHotPlug::PciHotPlug(std::function<void()> event, std::function<void(unsigned)> eject)
    : event_(std::move(event)), eject_(std::move(eject)) {}

void PciHotPlug::reset() {
  const std::lock_guard lock(mutex_);
  arrived_ = wanted_ = noticed_ = outdated_ = 0;
}

void PciHotPlug::tell_arrival(unsigned slot) {
  {
    const std::lock_guard lock(mutex_);
    arrived_ |= 1u << slot;
    wanted_ &= ~(1u << slot);  // Which would be of the device before.
    outdated_ |= noticed_ & 1u << slot;
    noticed_ &= ~(1u << slot);
  }
  event_();
}

void PciHotPlug::ask_for(unsigned slot) {
  {
    const std::lock_guard lock(mutex_);
    wanted_ |= 1u << slot;
  }
  event_();
}

void PciHotPlug::stop_asking_for(unsigned slot) {
  const std::lock_guard lock(mutex_);
  wanted_ &= ~(1u << slot);
}

void PciHotPlug::forget(unsigned slot) {
  const std::lock_guard lock(mutex_);
  arrived_ &= ~(1u << slot);
  wanted_ &= ~(1u << slot);
}

bus::Access PciHotPlug::read(uint64_t offset, std::span<std::byte> data) {
  if (data.size() != 4 || offset % 4) return bus::Access::bad_size;
  uint32_t value = 0;
  {
    const std::lock_guard lock(mutex_);
    if (offset == kArrived) value = arrived_;
    if (offset == kWanted) value = wanted_;
  }
  std::memcpy(data.data(), &value, sizeof value);
  return bus::Access::done;
}

bus::Access PciHotPlug::write(uint64_t offset, std::span<const std::byte> data) {
  if (data.size() != 4 || offset % 4) return bus::Access::bad_size;
  uint32_t value = 0;
  std::memcpy(&value, data.data(), sizeof value);
  uint32_t ejected = 0;
  {
    const std::lock_guard lock(mutex_);
    if (offset == kArrived) arrived_ &= ~value;
    if (offset == kWanted) {
      noticed_ |= wanted_ & value;
      wanted_ &= ~value;
    }
    if (offset == kEject) {
      ejected = value & ~outdated_;
      outdated_ &= ~value;
      noticed_ &= ~value;
    }
  }
  for (unsigned slot = 0; slot < kSlots; ++slot) {
    if (ejected & 1u << slot) eject_(slot);
  }
  return bus::Access::done;
}

}  // namespace alcove::chips
