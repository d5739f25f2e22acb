// Tells the guest which slots of the root bus got a device or are to lose theirs, and hears which it let go
// of. A device of our own; the DSDT's methods are its driver (firmware/dsdt.cpp). 16 ports.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>

#include "bus/bus.h"

namespace alcove::chips {

class PciHotPlug final : public bus::Device {
 public:
  // 32-bit registers, with a bit for each slot. The first two say what the guest has not taken notice of yet,
  // which it does by writing ones; reads of the third are zero.
  static constexpr uint16_t kArrived = 0, kWanted = 4, kEject = 8, kSize = 16;
  static constexpr unsigned kSlots = 32;

  // `event` is called, on any thread, when there is something to be read. `eject` is called, on a virtual
  // CPU's thread, with each slot that the guest says it has let go of, whatever is in it.
  PciHotPlug(std::function<void()> event, std::function<void(unsigned slot)> eject);

  bus::Access read(uint64_t offset, std::span<std::byte> data) override;
  bus::Access write(uint64_t offset, std::span<const std::byte> data) override;

  // Any thread.
  void tell_arrival(unsigned slot);
  void ask_for(unsigned slot);
  void stop_asking_for(unsigned slot);  // Nothing, where the guest has taken notice.

  void forget(unsigned slot);  // There is nothing in it any more.
  void reset();

 private:
  const std::function<void()> event_;
  const std::function<void(unsigned)> eject_;
  std::mutex mutex_;  // Guards what follows.
  uint32_t arrived_ = 0, wanted_ = 0;
  // Where the guest knows that something is wanted, and has not let go yet; and where that was what had been
  // there before.
  uint32_t noticed_ = 0, outdated_ = 0;
};

}  // namespace alcove::chips
