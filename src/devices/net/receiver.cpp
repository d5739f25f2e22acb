#include "devices/net/receiver.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "spec/virtio_net.h"

namespace alcove::devices::net {

namespace wire = spec::virtio_net;

Receiver::Receiver(std::unique_ptr<virtio::Queue> queue, uint64_t features)
    : queue_(std::move(queue)), mergeable_(features & wire::kFeatureMergeableBuffers) {
  queue_->set_wants_notifications(false);
}

Receiver::Outcome Receiver::add(std::span<const std::byte> packet) {
  if (kept_.empty()) {
    const Room room = deliver(packet);
    if (room == Room::broken) return Outcome::broken;
    if (room != Room::none_now) return Outcome::done;
  }
  if (kept_.size() == kMaximumKept || kept_bytes_ + packet.size() > kMaximumKeptBytes) {
    ++dropped_;
  } else {
    kept_.emplace_back(packet.begin(), packet.end());
    kept_bytes_ += packet.size();
  }
  return Outcome::done;
}

Receiver::Outcome Receiver::retry() {
  queue_->set_wants_notifications(false);
  while (!kept_.empty()) {
    const Room room = deliver(kept_.front());
    if (room == Room::broken) return Outcome::broken;
    if (room == Room::none_now) break;
    kept_bytes_ -= kept_.front().size();
    kept_.pop_front();
  }
  return Outcome::done;
}

// Takes chains from the ring until they hold `size` bytes; without mergeable buffers, one has to.
Receiver::Room Receiver::make_room(size_t size) {
  const size_t most = mergeable_ ? queue_->size() : 1;
  while (room_ < size) {
    if (chains_.size() == most) return Room::too_small;
    auto chain = queue_->pop();
    if (chain && !*chain) {
      queue_->set_wants_notifications(true);
      chain = queue_->pop();
      if (chain && !*chain) return Room::none_now;
      queue_->set_wants_notifications(false);
    }
    if (!chain) return Room::broken;
    room_ += (*chain)->writable_size();
    chains_.push_back(std::move(**chain));
  }
  return Room::enough;
}

Receiver::Room Receiver::deliver(std::span<const std::byte> packet) {
  const Room room = make_room(packet.size());
  if (room == Room::enough) {
    write(packet);
    ++delivered_;
    delivered_bytes_ += packet.size() - sizeof(spec::virtio_net::Header);
  } else if (room == Room::too_small) {
    ++dropped_;
  }
  return room;
}

// Section 5.1.6.4: the header, then the frame, across as many buffers as they need.
void Receiver::write(std::span<const std::byte> packet) {
  uint16_t buffers = 0;
  for (uint64_t covered = 0; covered < packet.size(); ++buffers) covered += chains_[buffers].writable_size();
  std::array<std::byte, sizeof(wire::Header)> header;
  std::ranges::copy(packet.first(header.size()), header.begin());
  std::memcpy(header.data() + wire::kBufferCountOffset, &buffers, sizeof buffers);
  auto head = std::span<const std::byte>(header);
  auto frame = packet.subspan(header.size());
  while (buffers-- > 0) {
    virtio::Chain chain = std::move(chains_.front());
    chains_.pop_front();
    room_ -= chain.writable_size();
    const size_t of_header = chain.write(0, head);
    head = head.subspan(of_header);
    const size_t of_frame = head.empty() ? chain.write(of_header, frame) : 0;
    frame = frame.subspan(of_frame);
    const auto written = static_cast<uint32_t>(of_header + of_frame);
    // The driver must see all buffers of a frame at once.
    buffers > 0 ? queue_->push_hidden(chain, written) : queue_->push(chain, written);
  }
}

}  // namespace alcove::devices::net
