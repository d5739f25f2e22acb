// The guest's receive queue: where packets of the host go.
#pragma once

#include <sys/uio.h>

#include <deque>
#include <memory>
#include <vector>

#include "devices/vsock/packet.h"

namespace alcove::devices::vsock {

// Used by one thread at a time.
class Inbox {
 public:
  explicit Inbox(std::unique_ptr<virtio::Queue> queue) : queue_(std::move(queue)) {
    if (queue_) queue_->set_wants_notifications(false);
  }

  // Whether a packet can be sent now. If not, the driver will notify of new buffers, unless is_broken().
  bool has_room();
  // One without payload, after has_room().
  void send(const wire::Header& header);

  // For payload, after has_room(): where up to `size` bytes of it may be put, in as many buffers as there are
  // and a few hundred KiB at most; one byte at least.
  const std::vector<iovec>& room_for(uint32_t size);
  // The first `size` bytes there are payload now: sent as packets with this header, but for its length.
  void send_payload(wire::Header header, uint32_t size);

  // Tells the guest of what was sent.
  void notify() {
    if (queue_) queue_->notify();
  }
  // The driver broke the ring.
  bool is_broken() const { return is_broken_; }

 private:
  bool take_chain();

  std::unique_ptr<virtio::Queue> queue_;  // Null where the driver enabled none.
  std::deque<virtio::Chain> chains_;      // Taken and not used yet.
  std::vector<iovec> vectors_;
  bool is_broken_ = false;
};

}  // namespace alcove::devices::vsock
