#include "network/segmenter.h"

#include <gtest/gtest.h>

#include "network/testing/frames.h"

namespace alcove::network {
namespace {

using namespace testing;

constexpr uint8_t kFin = 1, kPush = 8, kAck = 16, kCwr = 0x80;

std::vector<Frame> cut(Bytes frame, size_t segment_size, uint16_t mtu = 1500) {
  std::vector<Frame> result;
  if (!cut_segments(frame, segment_size, mtu,
                    [&](Bytes segment) { result.emplace_back(segment.begin(), segment.end()); })) {
    result.clear();
  }
  return result;
}

TEST(Segmenter, CutsAsASenderWould) {
  std::string data;
  for (int i = 0; i < 3000; ++i) data += static_cast<char>('a' + i % 26);
  const Segment whole{5000, 80, 0xfffffe00, 7, kAck | kPush | kFin | kCwr, data};
  const auto segments = cut(tcp("10.0.2.15", "10.0.2.2", whole), 1400);
  ASSERT_EQ(segments.size(), 3u);
  std::string got;
  for (size_t i = 0; i < segments.size(); ++i) {
    EXPECT_TRUE(has_right_tcp_checksums(segments[i]));
    const auto segment = tcp_segment(segments[i]);
    ASSERT_TRUE(segment);
    EXPECT_EQ(segment->sequence, static_cast<uint32_t>(whole.sequence + got.size()));
    EXPECT_EQ(segment->acknowledged, 7u);
    EXPECT_EQ(segment->flags, i == 0 ? kAck | kCwr : i == 2 ? kAck | kPush | kFin : kAck);
    EXPECT_EQ(load16(segments[i], 14 + wire::kIpv4Identification), 0x1234 + i);
    got += segment->data;
  }
  EXPECT_EQ(got, data);
}

TEST(Segmenter, KeepsToTheMtuAndToASensibleNumber) {
  const Frame frame = tcp("10.0.2.15", "10.0.2.2", {1, 2, 3, 4, kAck, std::string(60000, 'x')});
  for (const auto& segment : cut(frame, 60000)) EXPECT_LE(segment.size(), 1514u);
  EXPECT_EQ(cut(frame, 0).size(), (60000u + 1459) / 1460);
  EXPECT_LE(cut(frame, 1).size(), 60000u / 256 + 1);
  EXPECT_FALSE(cut(frame, 1460, 68).empty());
}

TEST(Segmenter, CutsBehindVlanTags) {
  Frame frame = tcp("10.0.2.15", "10.0.2.2", {1, 2, 3, 4, kAck, std::string(3000, 'x')});
  const Frame tag{std::byte{0x81}, std::byte{0}, std::byte{0}, std::byte{7}};
  frame.insert(frame.begin() + wire::kEthernetType, tag.begin(), tag.end());
  const auto segments = cut(frame, 0);
  ASSERT_EQ(segments.size(), 3u);
  EXPECT_EQ(segments.front().size(), 1518u);
  for (Frame segment : segments) {
    EXPECT_TRUE(has_right_tcp_checksums(segment));
    EXPECT_TRUE(std::equal(tag.begin(), tag.end(), segment.begin() + wire::kEthernetType));
    segment.erase(segment.begin() + wire::kEthernetType, segment.begin() + wire::kEthernetType + 4);
    EXPECT_TRUE(tcp_segment(segment));
  }
}

TEST(Segmenter, RefusesWhatItCantCut) {
  EXPECT_TRUE(cut(Frame(3), 100).empty());
  EXPECT_TRUE(cut(udp("10.0.2.15", 1, "10.0.2.2", 2, std::string(2000, 'x')), 1000).empty());
  const Frame good = tcp("10.0.2.15", "10.0.2.2", {1, 2, 3, 4, kAck, std::string(3000, 'x')});
  Frame frame = good;
  frame[14 + 20 + wire::kTcpDataOffset] = std::byte{0xf0};  // Still inside.
  EXPECT_FALSE(cut(frame, 1000).empty());
  frame[14 + 20 + wire::kTcpDataOffset] = std::byte{0x40};  // Less than a header.
  EXPECT_TRUE(cut(frame, 1000).empty());
  frame = good;
  frame.resize(frame.size() + 5);  // Longer than it says.
  EXPECT_TRUE(cut(frame, 1000).empty());
  frame = good;
  frame.resize(100);
  EXPECT_TRUE(cut(frame, 1000).empty());
  frame = good;
  frame[14 + wire::kIpv4Fragment] = std::byte{0x20};
  EXPECT_TRUE(cut(frame, 1000).empty());
  EXPECT_TRUE(cut(tcp("10.0.2.15", "10.0.2.2", {1, 2, 3, 4, kAck, ""}), 1000).empty());
}

TEST(Segmenter, SeesWrongChecksums) {
  Frame frame = tcp("10.0.2.15", "10.0.2.2", {1, 2, 3, 4, kAck, "data"});
  EXPECT_TRUE(has_right_tcp_checksums(frame));
  frame.back() ^= std::byte{1};
  EXPECT_FALSE(has_right_tcp_checksums(frame));
  frame.back() ^= std::byte{1};
  frame[14 + 8] ^= std::byte{1};  // Of the IP header.
  EXPECT_FALSE(has_right_tcp_checksums(frame));
  EXPECT_FALSE(has_right_tcp_checksums(udp("10.0.2.15", 1, "10.0.2.2", 2, "x")));
}

}  // namespace
}  // namespace alcove::network
