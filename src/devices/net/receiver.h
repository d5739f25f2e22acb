#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "virtio/queue.h"

namespace alcove::devices::net {

// The receive queue: writes frames to the guest's buffers, and keeps some while there are none.
class Receiver {
 public:
  Receiver(std::unique_ptr<virtio::Queue> queue, uint64_t features);

  enum class Outcome { done, broken };  // Broken: the driver damaged its ring.
  // Takes a frame: it is delivered, kept, or counted as dropped. Call notify() after the last of several.
  Outcome add(std::span<const std::byte> frame);
  // There may be buffers again.
  Outcome retry();
  void notify() { queue_->notify(); }

  uint64_t delivered() const { return delivered_; }
  uint64_t dropped() const { return dropped_; }

 private:
  // What is kept at most: somewhat more than a connection's window.
  static constexpr size_t kMaximumKept = 256;

  enum class Room { enough, none_now, too_small, broken };
  Room make_room(size_t size);
  Room deliver(std::span<const std::byte> frame);
  void write(std::span<const std::byte> frame);

  const std::unique_ptr<virtio::Queue> queue_;
  const bool mergeable_, checksum_offload_;
  std::deque<virtio::Chain> chains_;  // Taken from the ring and not yet filled.
  uint64_t room_ = 0;                 // Of all of them.
  std::deque<std::vector<std::byte>> kept_;
  uint64_t delivered_ = 0, dropped_ = 0;
};

}  // namespace alcove::devices::net
