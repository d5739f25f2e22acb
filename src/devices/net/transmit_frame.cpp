#include "devices/net/transmit_frame.h"

#include <cstring>

#include "network/packet.h"
#include "spec/internet.h"

namespace alcove::devices::net {

namespace wire = spec::virtio_net;
using spec::internet::kEthernetSize;

namespace {

bool segmentation_is_right(const wire::Header& header, uint64_t features) {
  if (header.segment_type == wire::kSegmentNone) return true;
  return header.segment_type == wire::kSegmentTcp4 && (features & wire::kFeatureHostTso4) &&
         (header.flags & wire::kNeedsChecksum) && header.segment_size != 0;
}

bool checksum_is_right(const wire::Header& header, uint64_t features, size_t size) {
  if (!(header.flags & wire::kNeedsChecksum)) return true;
  return (features & wire::kFeatureChecksum) && header.checksum_start >= kEthernetSize &&
         size_t{header.checksum_start} + header.checksum_offset + 2 <= size;
}

}  // namespace

std::optional<TransmitFrame> TransmitFrame::parse(const virtio::Chain& chain, uint64_t features, uint16_t mtu,
                                                  Buffer& buffer) {
  const uint64_t total = chain.readable_size();
  if (total < sizeof(wire::Header) + kEthernetSize || total > buffer.size()) return std::nullopt;
  chain.read(0, std::span(buffer).first(total));
  wire::Header header;
  std::memcpy(&header, buffer.data(), sizeof header);
  const auto frame = std::span(buffer).first(total).subspan(sizeof header);
  if (header.segment_type == wire::kSegmentNone && frame.size() > network::largest_frame(frame, mtu)) {
    return std::nullopt;
  }
  if (!segmentation_is_right(header, features) || !checksum_is_right(header, features, frame.size())) {
    return std::nullopt;
  }
  return TransmitFrame(frame, header);
}

std::span<const std::byte> TransmitFrame::finish() && {
  if (header_.flags & wire::kNeedsChecksum) {
    // The field holds the pseudo-header's sum, which the sum over all thus takes in.
    uint16_t checksum = ~network::sum(frame_.subspan(header_.checksum_start));
    if (checksum == 0) checksum = 0xffff;  // For UDP 0 means none; for others it is the same number.
    network::store16(frame_, size_t{header_.checksum_start} + header_.checksum_offset, checksum);
  }
  return frame_;
}

}  // namespace alcove::devices::net
