// Cables to sockets: the test is the guest at one end, and whoever holds the socket at the other.
#include "network/cable_network.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "network/datagram_port.h"
#include "network/segmenter.h"
#include "network/stream_port.h"
#include "network/testing/frames.h"

namespace alcove::network {
namespace {

using namespace testing;
using namespace std::chrono_literals;

constexpr uint8_t kAck = 16;

// Keeps whether the checksums were known, too.
class Guest final : public FrameReceiver {
 public:
  void receive(Bytes frame, Checksums checksums) override {
    last_checksums = checksums;
    collector.receive(frame, checksums);
  }
  std::optional<Frame> next(std::chrono::milliseconds limit = 5s) {
    return collector.wait([](Bytes frame) { return std::optional<Frame>({frame.begin(), frame.end()}); },
                          limit);
  }
  Collector collector;
  std::atomic<Checksums> last_checksums;
};

// One that neither sending nor receiving tells the end of.
class SilentPort final : public FramePort {
 public:
  SilentPort(UniqueFd socket, std::atomic<bool>& is_there)
      : socket_(std::move(socket)), is_there_(is_there) {}
  int descriptor() const override { return socket_.get(); }
  uint16_t mtu() const override { return 1500; }
  Outcome send(Bytes, size_t) override { return Outcome::lost; }
  Outcome receive(Bytes&) override { return Outcome::full; }
  bool is_to_be_checked() const override { return true; }
  Outcome check() override { return is_there_ ? Outcome::done : close("it went silently"); }

 private:
  const UniqueFd socket_;
  const std::atomic<bool>& is_there_;
};

class CableTest : public ::testing::Test {
 protected:
  void make(int type, uint16_t mtu = 1500) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
    peer = UniqueFd(ends[0]);
    const timeval limit{.tv_sec = 5};
    setsockopt(peer.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    std::unique_ptr<FramePort> port;
    if (type == SOCK_STREAM) {
      port = std::make_unique<StreamPort>(UniqueFd(ends[1]), mtu);
    } else {
      port = std::make_unique<DatagramPort>(UniqueFd(ends[1]), mtu);
    }
    plug(std::move(port));
  }
  void plug(std::unique_ptr<FramePort> port) {
    cable = std::make_unique<CableNetwork>(thread.loop(), std::move(port),
                                           CableOptions{.mac_address = MACAddress(kGuestMac),
                                                        .addresses_changed = [this] { ++changes; },
                                                        .failed =
                                                            [this](Error error) {
                                                              const std::lock_guard lock(mutex);
                                                              failure = std::move(error);
                                                            }});
    thread.loop().call([&] { cable->connect(&guest); });
  }
  ~CableTest() override { cable.reset(); }
  void transmit(const Frame& frame, size_t segment_size = 0) {
    thread.loop().call([&] { cable->transmit(frame, segment_size); });
  }
  Frame receive_at_peer() {
    Frame frame(70000);
    const ssize_t size = recv(peer.get(), frame.data(), frame.size(), 0);
    frame.resize(size > 0 ? static_cast<size_t>(size) : 0);
    return frame;
  }
  void send_from_peer(Bytes frame) {
    ASSERT_EQ(send(peer.get(), frame.data(), frame.size(), 0), static_cast<ssize_t>(frame.size()));
  }
  std::string reason() {
    const auto end = exec::Clock::now() + 5s;
    while (exec::Clock::now() < end) {
      {
        const std::lock_guard lock(mutex);
        if (failure) return failure->what;
      }
      std::this_thread::sleep_for(1ms);
    }
    return "";
  }

  exec::LoopThread thread{"net"};
  Guest guest;
  UniqueFd peer;
  std::unique_ptr<CableNetwork> cable;
  std::atomic<int> changes = 0;
  std::mutex mutex;
  std::optional<Error> failure;
};

TEST_F(CableTest, CarriesFramesBothWays) {
  for (const int type : {SOCK_DGRAM, SOCK_SEQPACKET}) {
    make(type);
    const Frame out = udp("10.0.2.15", 1, "10.0.2.2", 2, "out"),
                in = udp("10.0.2.2", 2, "10.0.2.15", 1, "in");
    transmit(out);
    EXPECT_EQ(receive_at_peer(), out);
    send_from_peer(in);
    EXPECT_EQ(guest.next(), in);
    EXPECT_EQ(guest.last_checksums, Checksums::unknown);
    EXPECT_EQ(cable->addresses(), std::vector<std::string>{"10.0.2.15"});
  }
}

TEST_F(CableTest, LooksAtChecksumsOfWhatMayBePutTogether) {
  make(SOCK_DGRAM);
  Frame frame = tcp("10.0.2.2", "10.0.2.15", {80, 5000, 1, 1, kAck, "data"});
  send_from_peer(frame);
  EXPECT_EQ(guest.next(), frame);
  EXPECT_EQ(guest.last_checksums, Checksums::right);
  frame.back() ^= std::byte{1};
  send_from_peer(frame);
  EXPECT_EQ(guest.next(), frame);
  EXPECT_EQ(guest.last_checksums, Checksums::unknown);
}

TEST_F(CableTest, LosesFramesOfWrongSizes) {
  make(SOCK_DGRAM);
  send_from_peer(Frame(13));
  send_from_peer(Frame(1515));
  send_from_peer(Frame(0));  // No end of anything.
  send_from_peer(Frame(1514, std::byte{1}));
  EXPECT_EQ(guest.next(), Frame(1514, std::byte{1}));
  transmit(Frame(1515));
  transmit(Frame(1514, std::byte{2}));
  EXPECT_EQ(receive_at_peer(), Frame(1514, std::byte{2}));
}

TEST_F(CableTest, DoesNotCountVlanTags) {
  make(SOCK_DGRAM);
  const auto tagged = [](size_t size, std::initializer_list<uint16_t> types) {
    Frame frame(size, std::byte{4});
    size_t at = spec::internet::kEthernetType;
    for (const uint16_t type : types) {
      store16(frame, at, type);
      at += spec::internet::kVlanTagSize;
    }
    return frame;
  };
  for (const Frame& frame : {tagged(1518, {0x8100}), tagged(1522, {0x88a8, 0x8100})}) {
    send_from_peer(frame);
    EXPECT_EQ(guest.next(), frame);
    transmit(frame);
    EXPECT_EQ(receive_at_peer(), frame);
  }
  send_from_peer(tagged(1519, {0x8100}));
  transmit(tagged(1519, {0x8100}));
  const Frame last = tagged(1522, {0x8100, 0x8100, 0x8100});
  send_from_peer(last);
  EXPECT_EQ(guest.next(), last);
  transmit(last);
  EXPECT_EQ(receive_at_peer(), last);
}

TEST_F(CableTest, TakesLargePacketsIfItIsToldTo) {
  make(SOCK_DGRAM, 65535);
  const Frame large(65535 + 14, std::byte{3});
  int size = 1 << 20;
  setsockopt(peer.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  send_from_peer(large);
  EXPECT_EQ(guest.next(), large);
  transmit(large);
  EXPECT_EQ(receive_at_peer(), large);
}

TEST_F(CableTest, CutsWhatTheGuestLeftToItsDevice) {
  make(SOCK_DGRAM);
  const std::string data(4000, 'x');
  transmit(tcp("10.0.2.15", "10.0.2.2", {5000, 80, 1, 1, kAck, data}), 1000);
  for (int i = 0; i < 4; ++i) {
    const auto frame = receive_at_peer();
    EXPECT_TRUE(has_right_tcp_checksums(frame));
    EXPECT_EQ(tcp_segment(frame)->data.size(), 1000u);
  }
}

TEST_F(CableTest, KeepsWhatThePeerHasNotReadYet) {
  for (const int type : {SOCK_DGRAM, SOCK_SEQPACKET}) {
    make(type);
    constexpr unsigned kFrames = 1000;  // Many more than such a socket queues.
    for (unsigned i = 0; i < kFrames; ++i) transmit(Builder().zeros(14).u32(i).zeros(1000).frame);
    for (unsigned i = 0; i < kFrames; ++i) {
      const Frame frame = receive_at_peer();
      ASSERT_EQ(frame.size(), 1018u);
      ASSERT_EQ(load32(frame, 14), i);
    }
    // And no more than it may: the rest is lost, and the cable goes on.
    for (unsigned i = 0; i < 5000; ++i) transmit(Builder().zeros(14).u32(i).zeros(1000).frame);
    unsigned got = 0;
    while (!receive_at_peer().empty() && ++got < 1000) continue;
    EXPECT_EQ(got, 1000u);
  }
}

TEST_F(CableTest, SaysThatThePeerIsGone) {
  make(SOCK_SEQPACKET);
  send_from_peer(Frame(60, std::byte{1}));
  peer.reset();
  EXPECT_EQ(reason(), "the other end is closed");
  EXPECT_TRUE(guest.next());  // What it had sent before.
  transmit(Frame(60));        // Goes nowhere.
}

TEST_F(CableTest, SaysThatADatagramPeerIsGoneOnceItSendsThere) {
  make(SOCK_DGRAM);
  peer.reset();
  transmit(Frame(60));
  EXPECT_EQ(reason(), "the other end is closed");
}

TEST_F(CableTest, LooksWhetherASilentPeerIsThere) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
  peer = UniqueFd(ends[0]);
  std::atomic<bool> is_there = true;
  plug(std::make_unique<SilentPort>(UniqueFd(ends[1]), is_there));
  transmit(udp("10.0.2.15", 1, "10.0.2.2", 2, "x"));
  thread.loop().call([&] { EXPECT_FALSE(failure); });
  is_there = false;
  EXPECT_EQ(reason(), "it went silently");
}

TEST_F(CableTest, StandsStillWhilePaused) {
  make(SOCK_DGRAM);
  thread.loop().call([&] { cable->pause(); });
  send_from_peer(Frame(60, std::byte{1}));
  EXPECT_FALSE(guest.next(50ms));
  thread.loop().call([&] { cable->resume(); });
  EXPECT_TRUE(guest.next());
}

// Frames as passt has them.
Frame with_length(const Frame& frame) {
  return Builder().u32(static_cast<uint32_t>(frame.size())).raw(frame).frame;
}

TEST_F(CableTest, CutsAStreamIntoFrames) {
  make(SOCK_STREAM, 65520);
  const Frame first(60, std::byte{1}), second(65534, std::byte{2});
  Frame stream = with_length(first);
  for (const Frame& frame : {Frame(10), second}) {  // One that is none.
    const Frame more = with_length(frame);
    stream.insert(stream.end(), more.begin(), more.end());
  }
  std::thread sender([&] {
    // In two pieces, the cut in the middle of a length.
    send_from_peer(Bytes(stream).first(66));
    std::this_thread::sleep_for(1ms);
    send_from_peer(Bytes(stream).subspan(66));
  });
  EXPECT_EQ(guest.next(), first);
  EXPECT_EQ(guest.next(), second);
  sender.join();
}

TEST_F(CableTest, SendsFramesIntoAStreamWhole) {
  make(SOCK_STREAM, 65520);
  constexpr int kFrames = 20;
  for (int i = 0; i < kFrames; ++i) transmit(Frame(65000, std::byte(i)));
  for (int i = 0; i < kFrames; ++i) {
    Frame frame(4 + 65000);
    ASSERT_EQ(recv(peer.get(), frame.data(), frame.size(), MSG_WAITALL), static_cast<ssize_t>(frame.size()));
    EXPECT_EQ(frame, with_length(Frame(65000, std::byte(i))));
  }
}

TEST_F(CableTest, EndsAStreamThatMakesNoSense) {
  make(SOCK_STREAM);
  send_from_peer(Builder().u32(0x7fffffff).frame);
  EXPECT_EQ(reason(), "the other end sent a frame that is too long");
}

}  // namespace
}  // namespace alcove::network
