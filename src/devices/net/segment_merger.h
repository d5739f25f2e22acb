#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "network/network.h"

namespace alcove::devices::net {

// Puts consecutive TCP segments together to one large one, as the guest asked for (VIRTIO_NET_F_GUEST_TSO4),
// so that it handles one frame instead of some forty; with no such wish it passes frames on as they are.
// Holds one frame at a time, with its virtio header (virtio 1.2, sections 5.1.6.3.2 and 5.1.6.4).
class SegmentMerger {
 public:
  explicit SegmentMerger(uint64_t features);

  bool empty() const { return packet_.empty(); }
  // True if the frame, whose checksums are right, continues the one held and is now part of it.
  bool append(std::span<const std::byte> frame);
  // Holds the frame; there was none.
  void begin(std::span<const std::byte> frame, network::Checksums checksums);
  // Header and frame, complete but for the number of buffers. Valid until begin(); nothing is held any more.
  std::span<const std::byte> take();

 private:
  std::span<std::byte> frame();
  void complete_headers();

  const bool merging_, checksum_offload_;
  std::vector<std::byte> packet_, taken_;
  bool may_grow_ = false, checked_ = false;
  unsigned segments_ = 0;
  size_t header_size_ = 0, segment_size_ = 0;  // Of the first segment.
  uint32_t next_sequence_ = 0;
};

}  // namespace alcove::devices::net
