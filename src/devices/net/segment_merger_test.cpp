#include "devices/net/segment_merger.h"

#include <gtest/gtest.h>

#include <cstring>

#include "network/testing/frames.h"
#include "spec/virtio_net.h"

namespace alcove::devices::net {
namespace {

namespace wire = spec::virtio_net;
using namespace network::testing;
using network::Bytes;
using network::Checksums;

constexpr uint64_t kMerging =
    wire::kFeatureGuestTso4 | wire::kFeatureGuestChecksum | wire::kFeatureMergeableBuffers;
constexpr uint8_t kAck = 0x10, kPush = 0x08, kFin = 0x01;

Frame segment(uint32_t sequence, const std::string& data, uint8_t flags = kAck, uint16_t port = 80) {
  return tcp("10.0.2.2", "10.0.2.15", {port, 5000, sequence, 77, flags, data});
}

wire::Header header_of(Bytes packet) {
  wire::Header header;
  std::memcpy(&header, packet.data(), sizeof header);
  return header;
}

TEST(SegmentMerger, PutsConsecutiveSegmentsTogether) {
  SegmentMerger merger(kMerging);
  merger.begin(segment(1000, std::string(100, 'a')), Checksums::right);
  EXPECT_TRUE(merger.append(segment(1100, std::string(100, 'b'))));
  EXPECT_TRUE(merger.append(segment(1200, "end", kAck | kPush)));
  EXPECT_FALSE(merger.append(segment(1203, "more")));
  const Bytes packet = merger.take();
  EXPECT_TRUE(merger.empty());
  const wire::Header header = header_of(packet);
  EXPECT_EQ(header.flags, wire::kNeedsChecksum);
  EXPECT_EQ(header.segment_type, wire::kSegmentTcp4);
  EXPECT_EQ(header.segment_size, 100);
  EXPECT_EQ(header.header_length, 54);
  // With its checksum completed it is just the segment that the sender could have sent as one.
  Frame frame(packet.begin() + sizeof header, packet.end());
  network::store16(frame, size_t{header.checksum_start} + header.checksum_offset,
                   ~network::sum(Bytes(frame).subspan(header.checksum_start)));
  EXPECT_EQ(frame, segment(1000, std::string(100, 'a') + std::string(100, 'b') + "end", kAck | kPush));
}

TEST(SegmentMerger, PassesASingleFrameUnchanged) {
  const Frame frame = segment(1000, "x");
  SegmentMerger merger(kMerging);
  merger.begin(frame, Checksums::right);
  Bytes packet = merger.take();
  EXPECT_EQ(header_of(packet).flags, wire::kDataValid);
  EXPECT_TRUE(std::ranges::equal(packet.subspan(sizeof(wire::Header)), frame));
  SegmentMerger plain(0);
  plain.begin(frame, Checksums::right);
  packet = plain.take();
  EXPECT_EQ(header_of(packet).flags, 0);
  EXPECT_TRUE(std::ranges::equal(packet.subspan(sizeof(wire::Header)), frame));
}

TEST(SegmentMerger, KeepsApartWhatDoesNotContinue) {
  const std::string data(100, 'a');
  const auto continues = [&](const Frame& first, const Frame& next, uint64_t features = kMerging) {
    SegmentMerger merger(features);
    merger.begin(first, Checksums::right);
    return merger.append(next);
  };
  const Frame first = segment(1000, data);
  EXPECT_TRUE(continues(first, segment(1100, data)));
  EXPECT_FALSE(continues(first, segment(1100, data), wire::kFeatureGuestTso4));
  EXPECT_FALSE(continues(first, segment(1101, data)));
  EXPECT_FALSE(continues(first, segment(1100, data + "longer")));
  EXPECT_FALSE(continues(first, segment(1100, "")));
  EXPECT_FALSE(continues(first, segment(1100, data, kAck, 81)));
  EXPECT_FALSE(continues(first, segment(1100, data, kAck | kFin)));
  EXPECT_FALSE(continues(segment(1000, data, kAck | kPush), segment(1100, data)));
  EXPECT_FALSE(continues(first, tcp("10.0.2.2", "10.0.2.15", {80, 5000, 1100, 78, kAck, data})));
  EXPECT_FALSE(continues(first, tcp("10.0.2.4", "10.0.2.15", {80, 5000, 1100, 77, kAck, data})));
  EXPECT_FALSE(continues(first, udp("10.0.2.2", 80, "10.0.2.15", 5000, data)));
  Frame padded = segment(1100, data);
  padded.resize(padded.size() + 6);
  EXPECT_FALSE(continues(first, padded));
  Frame fragment = segment(1100, data);
  fragment[14 + 6] = std::byte{0x20};
  EXPECT_FALSE(continues(first, fragment));
}

TEST(SegmentMerger, GrowsToTheLargestPacketAndNoFurther) {
  SegmentMerger merger(kMerging);
  const std::string data(1460, 'd');
  uint32_t sequence = 0xffff0000;  // Wraps.
  merger.begin(segment(sequence, data), Checksums::right);
  unsigned segments = 1;
  while (merger.append(segment(sequence += 1460, data))) ++segments;
  EXPECT_EQ(segments, (65535u - 40) / 1460);
  EXPECT_EQ(merger.take().size(), 12u + 54 + segments * 1460);
}

}  // namespace
}  // namespace alcove::devices::net
