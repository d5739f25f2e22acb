#include "devices/net/segment_merger.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "network/packet.h"
#include "spec/internet.h"
#include "spec/virtio_net.h"

namespace alcove::devices::net {

namespace wire = spec::virtio_net;
namespace ip = spec::internet;
using network::Bytes;

namespace {

constexpr size_t kIp = ip::kEthernetSize;
constexpr size_t kTcp = kIp + ip::kIpv4Size;
constexpr size_t kSequence = 4, kDataOffset = 12;
constexpr uint8_t kPush = 0x08;
constexpr size_t kLargestPacket = 65535;

// What of a frame's headers decides about merging. Only plain data segments qualify: no IP options, no
// fragments, no flags but ACK and PSH.
struct Headers {
  size_t size;
  uint32_t sequence;
  bool push;
};

std::optional<Headers> headers_of(Bytes frame) {
  const auto packet = network::parse(frame);
  if (!packet || packet->type != ip::kTypeIpv4 || packet->protocol != ip::kProtocolTcp) return std::nullopt;
  if (frame.size() < kTcp + ip::kTcpSize || network::load8(frame, kIp) != 0x45) return std::nullopt;
  if (network::load16(frame, kIp + ip::kIpv4TotalLength) != frame.size() - kIp) return std::nullopt;
  const size_t size = kTcp + (network::load8(frame, kTcp + kDataOffset) >> 4) * size_t{4};
  const uint8_t flags = network::load8(frame, kTcp + ip::kTcpFlags);
  if (size < kTcp + ip::kTcpSize || size >= frame.size()) return std::nullopt;
  if ((flags & ~kPush) != ip::kTcpAck) return std::nullopt;
  return Headers{size, network::load32(frame, kTcp + kSequence), (flags & kPush) != 0};
}

// Whether all is the same but lengths, identification, sequence number, PSH and checksums.
bool same_connection(Bytes a, Bytes b, size_t header_size) {
  const auto same = [&](size_t from, size_t to) {
    return std::ranges::equal(a.subspan(from, to - from), b.subspan(from, to - from));
  };
  return same(0, kIp + 2) && same(kIp + 6, kIp + 10) && same(kIp + 12, kTcp + 4) &&
         same(kTcp + 8, kTcp + 13) && same(kTcp + 14, kTcp + 16) && same(kTcp + 18, header_size);
}

}  // namespace

SegmentMerger::SegmentMerger(uint64_t features)
    : merging_((features & wire::kFeatureGuestTso4) && (features & wire::kFeatureGuestChecksum) &&
               (features & wire::kFeatureMergeableBuffers)),
      checksum_offload_(features & wire::kFeatureGuestChecksum) {}

std::span<std::byte> SegmentMerger::frame() {
  return std::span(packet_).subspan(sizeof(wire::Header));
}

void SegmentMerger::begin(Bytes frame, network::Checksums checksums) {
  packet_.resize(sizeof(wire::Header));
  packet_.insert(packet_.end(), frame.begin(), frame.end());
  segments_ = 1;
  checked_ = checksums == network::Checksums::right;
  const auto headers = merging_ && checked_ ? headers_of(frame) : std::nullopt;
  may_grow_ = headers && !headers->push;
  if (!may_grow_) return;
  header_size_ = headers->size;
  segment_size_ = frame.size() - header_size_;
  next_sequence_ = headers->sequence + static_cast<uint32_t>(segment_size_);
}

bool SegmentMerger::append(Bytes next) {
  if (!may_grow_ || packet_.empty()) return false;
  const auto headers = headers_of(next);
  if (!headers || headers->size != header_size_ || headers->sequence != next_sequence_) return false;
  const Bytes data = next.subspan(header_size_);
  if (data.size() > segment_size_ || frame().size() - kIp + data.size() > kLargestPacket) return false;
  if (!same_connection(frame(), next, header_size_)) return false;
  packet_.insert(packet_.end(), data.begin(), data.end());
  ++segments_;
  next_sequence_ += static_cast<uint32_t>(data.size());
  if (headers->push) frame()[kTcp + ip::kTcpFlags] |= std::byte{kPush};
  // A shorter segment, or one that wants to be delivered, is the last.
  may_grow_ = data.size() == segment_size_ && !headers->push;
  return true;
}

// Of a segment that was put together: the lengths, and the TCP checksum left to be completed by whoever cuts
// it.
void SegmentMerger::complete_headers() {
  const auto all = frame();
  const auto packet = all.subspan(kIp);
  network::store16(packet, ip::kIpv4TotalLength, static_cast<uint16_t>(packet.size()));
  network::store16(packet, ip::kIpv4Checksum, 0);
  network::store16(packet, ip::kIpv4Checksum, ~network::sum(packet.first(ip::kIpv4Size)));
  std::byte length_and_protocol[4] = {std::byte{0}, std::byte{ip::kProtocolTcp}};
  network::store16(length_and_protocol, 2, static_cast<uint16_t>(all.size() - kTcp));
  const uint16_t pseudo = network::sum(packet.subspan(ip::kIpv4Source, 8), network::sum(length_and_protocol));
  network::store16(all, kTcp + ip::kTcpChecksum, pseudo);
}

Bytes SegmentMerger::take() {
  wire::Header header{};
  if (segments_ > 1) {
    complete_headers();
    header = {.flags = wire::kNeedsChecksum,
              .segment_type = wire::kSegmentTcp4,
              .header_length = static_cast<uint16_t>(header_size_),
              .segment_size = static_cast<uint16_t>(segment_size_),
              .checksum_start = kTcp,
              .checksum_offset = ip::kTcpChecksum};
  } else if (checksum_offload_ && checked_) {
    header.flags = wire::kDataValid;
  }
  std::memcpy(packet_.data(), &header, sizeof header);
  std::swap(packet_, taken_);
  packet_.clear();
  return taken_;
}

}  // namespace alcove::devices::net
