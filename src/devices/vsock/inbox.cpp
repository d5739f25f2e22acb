#include "devices/vsock/inbox.h"

#include <algorithm>
#include <span>

namespace alcove::devices::vsock {

namespace {

// Buffers that one call fills: 128 KiB in the 4 KiB buffers of Linux.
constexpr size_t kMostChains = 32;
// Pieces of buffers that one call fills; what is more waits for the next. Far below IOV_MAX.
constexpr size_t kMostPieces = 512;

}  // namespace

bool Inbox::take_chain() {
  if (!queue_ || is_broken_) return false;
  auto chain = queue_->pop();
  if (chain && !*chain) {
    queue_->set_wants_notifications(true);
    chain = queue_->pop();
    if (chain && !*chain) return false;
    queue_->set_wants_notifications(false);
  }
  // A buffer without room for a byte behind the header would never let data through.
  if (!chain || (*chain)->writable_size() <= sizeof(wire::Header)) {
    is_broken_ = true;
    return false;
  }
  chains_.push_back(std::move(**chain));
  return true;
}

bool Inbox::has_room() {
  return !is_broken_ && (!chains_.empty() || take_chain());
}

void Inbox::send(const wire::Header& header) {
  virtio::Chain& chain = chains_.front();
  chain.write(0, std::as_bytes(std::span(&header, 1)));
  queue_->push(chain, sizeof header);
  chains_.pop_front();
}

const std::vector<iovec>& Inbox::room_for(uint32_t size) {
  vectors_.clear();
  uint64_t found = 0;
  for (size_t index = 0; found < size && index < kMostChains && vectors_.size() < kMostPieces; ++index) {
    if (index == chains_.size() && !take_chain()) break;
    const virtio::Chain& chain = chains_[index];
    const uint64_t room = std::min(chain.writable_size() - sizeof(wire::Header), size - found);
    for (const iovec& piece : chain.writable_vectors(sizeof(wire::Header), room)) vectors_.push_back(piece);
    found += room;
  }
  if (vectors_.size() > kMostPieces) vectors_.resize(kMostPieces);
  return vectors_;
}

void Inbox::send_payload(wire::Header header, uint32_t size) {
  while (size > 0) {
    virtio::Chain& chain = chains_.front();
    header.length =
        static_cast<uint32_t>(std::min<uint64_t>(size, chain.writable_size() - sizeof(wire::Header)));
    chain.write(0, std::as_bytes(std::span(&header, 1)));
    queue_->push(chain, static_cast<uint32_t>(sizeof header + header.length));
    size -= header.length;
    chains_.pop_front();
  }
}

}  // namespace alcove::devices::vsock
