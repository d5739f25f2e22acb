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
  // Takes a frame with its virtio header, complete but for the number of buffers: it is delivered, kept, or
  // counted as dropped. Call notify() after the last of several.
  Outcome add(std::span<const std::byte> packet);
  // There may be buffers again.
  Outcome retry();
  void notify() { queue_->notify(); }

  uint64_t delivered() const { return delivered_; }
  uint64_t delivered_bytes() const { return delivered_bytes_; }  // Without virtio's headers.
  uint64_t dropped() const { return dropped_; }

 private:
  // What is kept at most: somewhat more than a connection's window.
  static constexpr size_t kMaximumKept = 256, kMaximumKeptBytes = 1024 * 1024;

  enum class Room { enough, none_now, too_small, broken };
  Room make_room(size_t size);
  Room deliver(std::span<const std::byte> packet);
  void write(std::span<const std::byte> packet);

  const std::unique_ptr<virtio::Queue> queue_;
  const bool mergeable_;
  std::deque<virtio::Chain> chains_;  // Taken from the ring and not yet filled.
  uint64_t room_ = 0;                 // Of all of them.
  std::deque<std::vector<std::byte>> kept_;
  size_t kept_bytes_ = 0;
  uint64_t delivered_ = 0, delivered_bytes_ = 0, dropped_ = 0;
};

}  // namespace alcove::devices::net
