#include "devices/net/net.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>

#include "network/nat_network.h"
#include "network/testing/frames.h"
#include "spec/virtio.h"
#include "virtio/testing/fake_driver.h"

namespace alcove::devices::net {
namespace {

namespace wire = spec::virtio_net;
using namespace std::chrono_literals;
using network::testing::Frame;
using network::testing::kGuestMac;
using virtio::testing::Bytes;
using virtio::testing::bytes_of;
using virtio::testing::FakeGuest;

constexpr unsigned kReceive = 0, kTransmit = 1, kControl = 2;
constexpr uint64_t kBasic = wire::kFeatureMac | wire::kFeatureStatus | wire::kFeatureControlQueue |
                            wire::kFeatureControlReceive | wire::kFeatureControlMac;

// Keeps what the device sends.
class Wire final : public network::Network {
 public:
  void connect(network::FrameReceiver* to) override { receiver = to; }
  void transmit(std::span<const std::byte> frame, size_t of_segments) override {
    sent.emplace_back(frame.begin(), frame.end());
    segment_size = of_segments;
  }
  std::vector<std::string> addresses() const override { return {}; }
  void pause() override { paused = true; }
  void resume() override { paused = false; }
  network::FrameReceiver* receiver = nullptr;
  bool paused = false;
  size_t segment_size = 0;
  std::vector<Frame> sent;
};

class NetTest : public testing::Test {
 protected:
  NetTest() { net.plug(&cable); }
  void activate(uint64_t features = kBasic) { guest.activate(net, features); }
  // Sends a frame through the transmit queue; what the device gave to the network, or nothing.
  std::optional<Frame> transmit(const wire::Header& header, const Frame& frame, bool indirect = false) {
    thread.loop().call([&] { cable.sent.clear(); });
    const auto reply = guest.queue(kTransmit).request(
        {.readable = {bytes_of(header), Bytes(frame.begin(), frame.end())}, .indirect = indirect});
    EXPECT_TRUE(reply);
    std::optional<Frame> result;
    thread.loop().call([&] {
      if (!cable.sent.empty()) result = cable.sent.back();
    });
    return result;
  }
  void arrive(const Frame& frame, network::Checksums checksums = network::Checksums::right) {
    thread.loop().call([&] { cable.receiver->receive(frame, checksums); });
  }
  uint8_t command(Bytes bytes) {
    const auto reply = guest.queue(kControl).request({.readable = {std::move(bytes)}, .writable = {1}});
    EXPECT_TRUE(reply && reply->length == 1);
    return reply ? std::to_integer<uint8_t>(reply->writable[0][0]) : 0xff;
  }
  Bytes command_bytes(std::initializer_list<unsigned> values) {
    Bytes result;
    for (unsigned value : values) result.push_back(std::byte(value));
    return result;
  }

  exec::LoopThread thread{"net"};
  Wire cable;
  Net net{thread.loop(), {.mac_address = MACAddress(kGuestMac)}};
  FakeGuest guest;
};

Frame to_guest(size_t size) {
  Frame frame(size, std::byte{0x5a});
  std::memcpy(frame.data(), kGuestMac.data(), 6);
  return frame;
}

TEST_F(NetTest, ShowsItsAddressLinkAndMtu) {
  Bytes bytes(12);
  net.read_config(0, bytes);
  EXPECT_EQ(bytes, (command_bytes({0x52, 0x54, 0, 0x12, 0x34, 0x56, 1, 0, 1, 0, 0xdc, 5})));
  activate();
  net.plug(nullptr);
  EXPECT_TRUE(guest.interrupts().wait([&] { return guest.interrupts().configuration_count() == 1; }));
  net.read_config(0, bytes);
  EXPECT_EQ(bytes[6], std::byte{0});
  EXPECT_FALSE(transmit({}, to_guest(60)));
  net.plug(&cable);
  EXPECT_TRUE(transmit({}, to_guest(60)));
}

TEST_F(NetTest, HasTheGuestSeeItsCablePluggedInElsewhere) {
  activate();
  const auto link = [&] {
    Bytes status(2);
    net.read_config(6, status);
    return std::to_integer<int>(status[0]);
  };
  Wire other;
  net.plug(&other);
  EXPECT_EQ(guest.interrupts().configuration_count(), 1u);
  // Down until the guest has looked at it; at the MTU alone is no look.
  EXPECT_FALSE(transmit({}, to_guest(60)));
  Bytes mtu(2);
  net.read_config(10, mtu);
  EXPECT_EQ(other.receiver, nullptr);
  EXPECT_EQ(link(), 0);
  EXPECT_TRUE(guest.interrupts().wait([&] { return guest.interrupts().configuration_count() == 2; }));
  EXPECT_EQ(link(), 1);
  thread.loop().call([&] { EXPECT_EQ(other.receiver, &net); });
  EXPECT_EQ(cable.receiver, nullptr);
  // A guest that does not look sees it up again all the same.
  net.plug(&cable);
  EXPECT_TRUE(guest.interrupts().wait([&] { return guest.interrupts().configuration_count() == 4; }));
  thread.loop().call([&] { EXPECT_EQ(cable.receiver, &net); });
  // And one that is pulled before it was up stays down.
  net.plug(&other);
  net.plug(nullptr);
  EXPECT_EQ(link(), 0);
  EXPECT_EQ(link(), 0);
  thread.loop().call([&] { EXPECT_EQ(other.receiver, nullptr); });
  net.plug(&cable);
}

TEST_F(NetTest, TellsWhatIsKnownOfChecksums) {
  activate(kBasic | wire::kFeatureGuestChecksum);
  for (const auto checksums : {network::Checksums::right, network::Checksums::unknown}) {
    const auto placed = guest.queue(kReceive).add({.writable = {2000}});
    arrive(to_guest(60), checksums);
    ASSERT_TRUE(guest.queue(kReceive).wait());
    EXPECT_EQ(std::to_integer<int>(guest.queue(kReceive).bytes(placed.writable[0], 1)[0]),
              checksums == network::Checksums::right ? wire::kDataValid : 0);
  }
}

TEST_F(NetTest, SendsFramesFromBuffersOfAnyShape) {
  activate();
  const Frame frame = network::testing::udp("10.0.2.15", 1, "10.0.2.2", 2, "hello");
  EXPECT_EQ(transmit({}, frame), frame);
  EXPECT_EQ(transmit({}, frame, true), frame);
  EXPECT_EQ(transmit({}, to_guest(1514)), to_guest(1514));
  // The header split over descriptors, and joined with the frame.
  Bytes joined(sizeof(wire::Header));
  joined.insert(joined.end(), frame.begin(), frame.end());
  for (size_t cut : {size_t{1}, size_t{12}, size_t{13}}) {
    thread.loop().call([&] { cable.sent.clear(); });
    const auto split = joined.begin() + static_cast<ptrdiff_t>(cut);
    ASSERT_TRUE(
        guest.queue(kTransmit).request({.readable = {{joined.begin(), split}, {split, joined.end()}}}));
    thread.loop().call([&] { EXPECT_EQ(cable.sent, std::vector<Frame>(1, frame)); });
  }
}

TEST_F(NetTest, CompletesChecksums) {
  activate(kBasic | wire::kFeatureChecksum);
  const Frame whole = network::testing::udp("10.0.2.15", 1, "10.0.2.2", 2, "odd");
  Frame partial = whole;
  // What a driver leaves: the sum of the pseudo-header.
  const Frame pseudo = network::testing::Builder().ip("10.0.2.15").ip("10.0.2.2").u8(0, 17).u16(11).frame;
  network::store16(partial, 14 + 20 + 6, network::sum(pseudo));
  const wire::Header header{.flags = wire::kNeedsChecksum, .checksum_start = 34, .checksum_offset = 6};
  EXPECT_EQ(transmit(header, partial), whole);
}

TEST_F(NetTest, RefusesHeadersThatAreWrong) {
  activate(kBasic | wire::kFeatureChecksum);
  const Frame frame = to_guest(60);
  const auto checksum_at = [](uint16_t start, uint16_t offset) {
    return wire::Header{.flags = wire::kNeedsChecksum, .checksum_start = start, .checksum_offset = offset};
  };
  EXPECT_TRUE(transmit(checksum_at(40, 18), frame));
  EXPECT_FALSE(transmit(checksum_at(40, 19), frame));
  EXPECT_FALSE(transmit(checksum_at(60, 65535), frame));
  EXPECT_FALSE(transmit(checksum_at(65535, 65535), frame));
  EXPECT_FALSE(transmit(checksum_at(13, 0), frame));
  EXPECT_FALSE(transmit({}, to_guest(1515)));
  EXPECT_FALSE(transmit({}, Frame(13)));
  const wire::Header segments{.flags = wire::kNeedsChecksum,
                              .segment_type = wire::kSegmentTcp4,
                              .segment_size = 1460,
                              .checksum_start = 34,
                              .checksum_offset = 16};
  EXPECT_FALSE(transmit(segments, to_guest(3000)));  // Not negotiated.
  EXPECT_EQ(net.statistics().dropped_sent_frames, 7u);
}

TEST_F(NetTest, PassesLargeSegmentsWhereNegotiated) {
  activate(kBasic | wire::kFeatureChecksum | wire::kFeatureHostTso4);
  wire::Header header{.flags = wire::kNeedsChecksum,
                      .segment_type = wire::kSegmentTcp4,
                      .segment_size = 1460,
                      .checksum_start = 34,
                      .checksum_offset = 16};
  EXPECT_TRUE(transmit(header, to_guest(kLargestFrame)));
  EXPECT_EQ(cable.segment_size, 1460u);
  EXPECT_FALSE(transmit(header, to_guest(kLargestFrame + 1)));
  header.segment_size = 0;
  EXPECT_FALSE(transmit(header, to_guest(3000)));
  header = {.segment_type = 3, .segment_size = 1000};  // UDP fragmentation
  EXPECT_FALSE(transmit(header, to_guest(3000)));
}

TEST_F(NetTest, DropsChainsThatHoldNoFrame) {
  activate();
  for (const virtio::testing::Request& request : {virtio::testing::Request{.writable = {100}},
                                                  {.readable = {Bytes(11)}},
                                                  {.readable = {Bytes(200'000)}}}) {
    const auto reply = guest.queue(kTransmit).request(request);
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->length, 0u);
  }
  thread.loop().call([&] { EXPECT_TRUE(cable.sent.empty()); });
  EXPECT_EQ(net.statistics().dropped_sent_frames, 3u);
}

TEST_F(NetTest, WritesFramesWithTheirHeader) {
  for (const uint64_t features : {kBasic, kBasic | wire::kFeatureGuestChecksum}) {
    activate(features);
    guest.queue(kReceive).add({.writable = {12, 1514}});
    arrive(to_guest(100));
    const auto used = guest.queue(kReceive).wait();
    ASSERT_TRUE(used);
    EXPECT_EQ(used->length, 112u);
    guest.reset();
  }
  activate(kBasic | wire::kFeatureGuestChecksum);
  const auto placed = guest.queue(kReceive).add({.writable = {1526}});
  arrive(to_guest(60));
  ASSERT_TRUE(guest.queue(kReceive).wait());
  const Bytes written = guest.queue(kReceive).bytes(placed.writable[0], 72);
  EXPECT_EQ(Bytes(written.begin(), written.begin() + 12),
            command_bytes({wire::kDataValid, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}));
  EXPECT_TRUE(std::ranges::equal(std::span(written).subspan(12), to_guest(60)));
}

TEST_F(NetTest, SpreadsFramesOverMergeableBuffers) {
  activate(kBasic | wire::kFeatureMergeableBuffers);
  auto& queue = guest.queue(kReceive);
  std::vector<virtio::testing::Placed> placed;
  for (int i = 0; i < 3; ++i) placed.push_back(queue.add({.writable = {500}}));
  arrive(to_guest(1200));
  std::vector<uint32_t> lengths;
  for (int i = 0; i < 3; ++i) {
    const auto used = queue.wait();
    ASSERT_TRUE(used);
    lengths.push_back(used->length);
  }
  EXPECT_EQ(lengths, (std::vector<uint32_t>{500, 500, 212}));
  EXPECT_EQ(queue.bytes(placed[0].writable[0], 12)[10], std::byte{3});
}

TEST_F(NetTest, DeliversSegmentsThatArriveTogetherAsOne) {
  activate(net.features());
  const auto segment = [](uint32_t sequence) {
    return network::testing::tcp("10.0.2.2", "10.0.2.15",
                                 {80, 5000, sequence, 1, 0x10, std::string(1000, 's')});
  };
  auto& queue = guest.queue(kReceive);
  for (int i = 0; i < 3; ++i) queue.add({.writable = {2000}});
  thread.loop().call([&] {
    for (uint32_t i = 0; i < 3; ++i) net.receive(segment(1000 * i), network::Checksums::right);
    net.receive(network::testing::arp_request("10.0.2.2", "10.0.2.15"), network::Checksums::right);
  });
  EXPECT_EQ(queue.wait()->length, 2000u);
  EXPECT_EQ(queue.wait()->length, 12u + 54 + 3000 - 2000);
  EXPECT_EQ(queue.wait()->length, 12u + 42);
}

TEST_F(NetTest, KeepsFramesForALaterBufferAndThenDrops) {
  activate();
  for (int i = 0; i < 300; ++i) arrive(to_guest(100));
  EXPECT_EQ(net.statistics().dropped_received_frames, 300u - 256);
  auto& queue = guest.queue(kReceive);
  for (int i = 0; i < 256; ++i) {
    const auto reply = queue.request({.writable = {200}});
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->length, 112u);
  }
  EXPECT_EQ(net.statistics().received_frames, 256u);
  EXPECT_EQ(net.statistics().received_bytes, 25600u);
}

TEST_F(NetTest, DropsFramesTooLongForTheirBuffer) {
  activate();
  auto& queue = guest.queue(kReceive);
  queue.add({.writable = {100}});
  queue.notify();
  arrive(to_guest(100));
  arrive(to_guest(88));
  const auto used = queue.wait();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->length, 100u);
  EXPECT_EQ(net.statistics().dropped_received_frames, 1u);
}

TEST_F(NetTest, BearsMergeableBuffersWithoutRoom) {
  activate(kBasic | wire::kFeatureMergeableBuffers);
  auto& queue = guest.queue(kReceive);
  for (unsigned i = 0; i < queue.size() - 1u; ++i) queue.add({.writable = {1}});
  arrive(to_guest(1000));
  queue.add({.writable = {1}});
  queue.notify();
  EXPECT_TRUE(guest.interrupts().wait([&] { return net.statistics().dropped_received_frames == 1; }));
  arrive(to_guest(60));  // Fits.
  for (int i = 0; i < 72; ++i) EXPECT_EQ(queue.wait()->length, 1u);
}

TEST_F(NetTest, FiltersByTheDriversWish) {
  activate();
  auto& queue = guest.queue(kReceive);
  const auto arrives = [&](std::initializer_list<unsigned> destination) {
    Frame frame = to_guest(60);
    std::ranges::transform(destination, frame.begin(), [](unsigned byte) { return std::byte(byte); });
    const uint64_t before = net.statistics().received_frames;
    queue.add({.writable = {200}});
    queue.notify();
    arrive(frame);
    return net.statistics().received_frames > before;
  };
  EXPECT_TRUE(arrives({2, 0, 0, 0, 0, 1}));
  EXPECT_EQ(command(command_bytes({0, 0, 0})), 0);  // Not promiscuous.
  EXPECT_FALSE(arrives({2, 0, 0, 0, 0, 1}));
  EXPECT_FALSE(arrives({1, 0, 0x5e, 0, 0, 1}));
  EXPECT_TRUE(arrives({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
  EXPECT_TRUE(arrives({0x52, 0x54, 0, 0x12, 0x34, 0x56}));
  EXPECT_EQ(command(command_bytes({1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0x5e, 0, 0, 1})), 0);
  EXPECT_TRUE(arrives({2, 0, 0, 0, 0, 1}));
  EXPECT_TRUE(arrives({1, 0, 0x5e, 0, 0, 1}));
  EXPECT_EQ(command(command_bytes({1, 1, 2, 0, 0, 0, 0, 9})), 0);  // Another address.
  EXPECT_TRUE(arrives({2, 0, 0, 0, 0, 9}));
  EXPECT_FALSE(arrives({0x52, 0x54, 0, 0x12, 0x34, 0x56}));
  Bytes mac(6);
  net.read_config(0, mac);
  EXPECT_EQ(mac, command_bytes({2, 0, 0, 0, 0, 9}));
}

TEST_F(NetTest, RefusesCommandsThatAreNone) {
  activate();
  EXPECT_EQ(command({}), 1);
  EXPECT_EQ(command(command_bytes({0})), 1);
  EXPECT_EQ(command(command_bytes({0, 0})), 1);
  EXPECT_EQ(command(command_bytes({9, 0, 1})), 1);
  EXPECT_EQ(command(command_bytes({0, 9, 1})), 1);
  EXPECT_EQ(command(command_bytes({1, 1, 2, 2, 2})), 1);
  EXPECT_EQ(command(command_bytes({1, 0, 255, 255, 255, 255, 0, 0})), 1);
  EXPECT_EQ(command(Bytes(100'000)), 1);
  const auto reply = guest.queue(kControl).request({.readable = {command_bytes({0, 0, 1})}});
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->length, 0u);
}

TEST_F(NetTest, AsksForAResetAfterABrokenRing) {
  unsigned resets = 0;
  for (unsigned broken : {kReceive, kTransmit, kControl}) {
    activate();
    guest.queue(broken).publish(9999);
    guest.queue(broken).notify();
    arrive(to_guest(60));
    ++resets;
    EXPECT_TRUE(guest.interrupts().wait([&] { return guest.interrupts().needs_reset_count() == resets; }));
    arrive(to_guest(60));
    guest.reset();
  }
  activate();
  EXPECT_TRUE(transmit({}, to_guest(60)));
}

TEST_F(NetTest, StandsStillWhilePaused) {
  activate();
  net.pause();
  EXPECT_TRUE(cable.paused);
  const Bytes frame(100);
  guest.queue(kTransmit).add({.readable = {frame}});
  guest.queue(kTransmit).notify();
  EXPECT_FALSE(guest.queue(kTransmit).wait(50ms));
  net.resume();
  EXPECT_TRUE(guest.queue(kTransmit).wait());
  EXPECT_FALSE(cable.paused);
}

TEST_F(NetTest, ResetEndsAPause) {
  activate();
  net.pause();
  guest.reset();
  EXPECT_FALSE(cable.paused);
  activate();
  EXPECT_TRUE(transmit({}, to_guest(60)));
}

TEST_F(NetTest, GetsAnAddressThroughItsQueues) {
  auto nat = network::NatNetwork::create(thread.loop(), {.mac_address = MACAddress(kGuestMac)}).value();
  net.plug(nat.get());
  activate();
  auto& queue = guest.queue(kReceive);
  for (const Frame& request : {network::testing::dhcp(1), network::testing::dhcp(3, "10.0.2.15")}) {
    const auto placed = queue.add({.writable = {2000}});
    queue.notify();
    ASSERT_FALSE(transmit({}, request));
    const auto used = queue.wait();
    ASSERT_TRUE(used);
    const Bytes bytes = queue.bytes(placed.writable[0], used->length);
    const auto answer = network::testing::datagram(std::span(bytes).subspan(12));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->destination, 68);
  }
  EXPECT_EQ(nat->addresses(), std::vector<std::string>{"10.0.2.15"});
  net.plug(nullptr);
}

}  // namespace
}  // namespace alcove::devices::net
