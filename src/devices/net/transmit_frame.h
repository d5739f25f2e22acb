#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "network/packet.h"
#include "spec/virtio_net.h"
#include "virtio/queue.h"

namespace alcove::devices::net {

// The most that a frame can have: an IPv4 packet, and an Ethernet header with VLAN tags.
inline constexpr size_t kLargestFrame = network::largest_frame(65535);

// A frame that the guest sends, copied from its memory and found to be well-formed (virtio 1.2, section
// 5.1.6.2). Exists only while the buffer that it was read into does.
class TransmitFrame {
 public:
  // Room for any frame with its header.
  using Buffer = std::vector<std::byte>;
  static Buffer make_buffer() { return Buffer(sizeof(spec::virtio_net::Header) + kLargestFrame); }

  // Nothing if the frame is too short, longer than `mtu` allows without segmentation, or asks for what
  // `features` do not hold or what lies outside it.
  static std::optional<TransmitFrame> parse(const virtio::Chain& chain, uint64_t features, uint16_t mtu,
                                            Buffer& buffer);

  // Into segments of how many bytes it is to be cut; 0: it is not.
  size_t segment_size() const {
    return header_.segment_type == spec::virtio_net::kSegmentNone ? 0 : header_.segment_size;
  }
  // The frame as it goes out, its checksum completed.
  std::span<const std::byte> finish() &&;

 private:
  TransmitFrame(std::span<std::byte> frame, const spec::virtio_net::Header& header)
      : frame_(frame), header_(header) {}
  std::span<std::byte> frame_;
  spec::virtio_net::Header header_;
};

}  // namespace alcove::devices::net
