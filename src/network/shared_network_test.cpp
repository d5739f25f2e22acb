// A guest on a shared network: its own NAT, and the link to the switch, whose end the test holds.
#include "network/shared_network.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "network/shared_addresses.h"
#include "network/testing/frames.h"
#include "network/testing/host_socket.h"

namespace alcove::network {
namespace {

using namespace testing;
using namespace std::chrono_literals;

constexpr Mac kHostMac{0x52, 0x55, 10, 0, 0, 2}, kPeerMac{2, 0, 0, 0, 0, 0xb};

Frame to(const Mac& mac, Frame frame) {
  std::ranges::copy(std::as_bytes(std::span(mac)), frame.begin());
  return frame;
}

class SharedNetworkTest : public ::testing::Test {
 protected:
  void make(bool reaches_peers, const PrivateNetwork& wishes = {}) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    link = UniqueFd(ends[0]);
    addresses = shared_addresses("lab");
    addresses.guest = member_address(addresses, MACAddress(kGuestMac), {});
    addresses.host_name = "web";
    network = SharedNetwork::create(thread.loop(), UniqueFd(ends[1]),
                                    {.mac_address = MACAddress(kGuestMac),
                                     .addresses = addresses,
                                     .reaches_peers = reaches_peers,
                                     .wishes = wishes,
                                     .failed = [this](const Error&) { failed = true; }})
                  .value();
    thread.loop().call([&] { network->connect(&guest); });
    own = address_text(addresses.guest);
    host = address_text(addresses.host());
    name_server = address_text(addresses.name_server());
  }
  ~SharedNetworkTest() override { network.reset(); }
  void send(const Frame& frame) {
    thread.loop().call([&] { network->transmit(frame, 0); });
  }
  // The frame at the switch, if one comes; each frame is there once send() has returned.
  std::optional<Frame> at_switch() {
    Frame frame(2000);
    const ssize_t size = recv(link.get(), frame.data(), frame.size(), MSG_DONTWAIT);
    if (size < 0) return {};
    frame.resize(static_cast<size_t>(size));
    return frame;
  }
  // The address in the next DHCP message of this type.
  std::optional<std::string> leased(uint8_t type) {
    return guest.wait([&](Bytes frame) -> std::optional<std::string> {
      const auto message = datagram(frame);
      if (!message || message->destination != 68 || load8(message->data, wire::kDhcpOptions + 2) != type)
        return {};
      return address_text(load32(message->data, wire::kDhcpYourAddress));
    });
  }

  exec::LoopThread thread{"net"};
  Collector guest;
  UniqueFd link;
  NatAddresses addresses;
  std::string own, host, name_server;
  std::atomic<bool> failed = false;
  std::unique_ptr<SharedNetwork> network;
};

TEST_F(SharedNetworkTest, GivesItsOneAddressByDhcp) {
  make(false);
  send(dhcp(1));
  EXPECT_EQ(leased(2), own);
  send(dhcp(3, own));
  EXPECT_EQ(leased(5), own);
  EXPECT_EQ(network->addresses(), std::vector{own});
  // Nor does asking for a neighbour's bring that.
  const std::string other = address_text(addresses.guest + 1);
  send(dhcp(1, other));
  EXPECT_EQ(leased(2), own);
  send(dhcp(3, other));
  EXPECT_TRUE(leased(6));  // Refused.
}

// By whatever libslirp takes for a wish: the last of several options, a long one, the client's own address.
TEST_F(SharedNetworkTest, GivesNoOtherByDhcpHoweverItIsAskedFor) {
  make(false);
  const std::string other = address_text(addresses.guest + 1);
  const auto request = [&](const std::string& client, const Frame& options) {
    Builder message;
    message.u8(1, 1, 6, 0).u32(0xa1b2c3d4).zeros(4).ip(client).zeros(12).mac(kGuestMac).zeros(10 + 64 + 128);
    message.u32(wire::kDhcpCookieValue).u8(53, 1, 3).raw(options).u8(255).zeros(60);
    return udp("0.0.0.0", 68, "255.255.255.255", 67, message.frame);
  };
  const auto wish = [](const std::string& address) { return Builder().u8(50, 4).ip(address).frame; };
  send(request(own, {}));
  EXPECT_EQ(leased(5), own);
  send(request("0.0.0.0", Builder().raw(wish(own)).raw(wish(own)).frame));
  EXPECT_EQ(leased(5), own);
  for (const Frame& refused :
       {request("0.0.0.0", Builder().raw(wish(own)).raw(wish(other)).frame),
        request("0.0.0.0", Builder().u8(50, 5).ip(other).u8(0).frame), request(other, {})}) {
    send(refused);
    EXPECT_EQ(guest.wait([&](Bytes frame) -> std::optional<int> {
      const auto message = datagram(frame);
      if (!message || message->destination != 68) return {};
      return load8(message->data, wire::kDhcpOptions + 2);
    }),
              6);
  }
}

TEST_F(SharedNetworkTest, TellsPeersOnlyIfItReachesThem) {
  for (const bool reaches_peers : {false, true}) {
    make(reaches_peers);
    const Frame broadcast = arp_request(own, address_text(addresses.guest + 9));
    const Frame direct = to(kPeerMac, udp(own, 1, address_text(addresses.guest + 9), 2, "x"));
    send(broadcast);
    EXPECT_EQ(at_switch(), reaches_peers ? std::optional(broadcast) : std::nullopt);
    send(direct);
    EXPECT_EQ(at_switch(), reaches_peers ? std::optional(direct) : std::nullopt);
    send(to(kHostMac, udp(own, 1, "192.0.2.1", 2, "x")));
    EXPECT_EQ(at_switch(), std::nullopt);
  }
}

TEST_F(SharedNetworkTest, AsksTheSwitchForNamesOfTheNetwork) {
  make(false);
  const auto query = [&](const std::string& host_name) {
    Builder message;
    message.u16(7).u16(0x100).u16(1).zeros(6);
    message.u8(host_name.size()).text(host_name).u8(3).text("lab").u8(8).text("internal").u8(0).u16(1).u16(1);
    return to(kHostMac, udp(own, 4000, name_server, 53, message.frame));
  };
  send(query("beta"));
  EXPECT_EQ(at_switch(), query("beta"));
  Builder other;
  other.u16(7).u16(0x100).u16(1).zeros(6).u8(6).text("debian").u8(3).text("org").u8(0).u16(1).u16(1);
  send(to(kHostMac, udp(own, 4000, name_server, 53, other.frame)));
  EXPECT_EQ(at_switch(), std::nullopt);
  // What comes back reaches the guest.
  const Frame answer = udp(name_server, 53, own, 4000, "answer");
  ASSERT_EQ(::send(link.get(), answer.data(), answer.size(), 0), static_cast<ssize_t>(answer.size()));
  EXPECT_TRUE(guest.wait([&](Bytes frame) { return std::ranges::equal(frame, answer); }));
}

TEST_F(SharedNetworkTest, KnowsNoOtherNamesWhereNobodyElseIsReached) {
  make(false, {.nat44 = false, .nat66 = false});
  Builder other;
  other.u16(7).u16(0x100).u16(1).zeros(6).u8(6).text("debian").u8(3).text("org").u8(0).u16(1).u16(1);
  const Frame question = to(kHostMac, udp(own, 4000, name_server, 53, other.frame));
  send(question);
  const auto answer = guest.wait([](Bytes frame) { return datagram(frame); });
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->destination, 4000);
  EXPECT_EQ(load16(answer->data, wire::kDnsFlags) & 15, wire::kDnsNameError);
  // Without names nobody is asked.
  make(false, {.dns_proxy = false});
  Builder peer;
  peer.u16(7).u16(0x100).u16(1).zeros(6).u8(4).text("beta").u8(0).u16(1).u16(1);
  send(to(kHostMac, udp(own, 4000, name_server, 53, peer.frame)));
  EXPECT_EQ(at_switch(), std::nullopt);
}

TEST_F(SharedNetworkTest, SendsNothingInAnothersName) {
  make(true);
  send(arp_request(address_text(addresses.guest + 1), host));
  send(to(kPeerMac, udp("192.0.2.1", 1, own, 2, "x")));
  Frame other = to(kPeerMac, udp(own, 1, own, 2, "x"));
  other[6] ^= std::byte{2};
  send(other);
  EXPECT_EQ(at_switch(), std::nullopt);
}

TEST_F(SharedNetworkTest, ReachesTheHostByItsOwnAddressAlone) {
  make(false);
  const HostSocket server(SOCK_DGRAM);
  send(arp_request(own, host));
  // An address of the network that is a peer's, and not the host in disguise.
  send(to(kHostMac, udp(own, 4000, address_text(addresses.guest + 1), server.port, "wrong")));
  send(to(kHostMac, udp(own, 4000, host, server.port, "right")));
  char text[8] = {};
  EXPECT_EQ(recv(server.fd.get(), text, sizeof text, 0), 5);
  EXPECT_STREQ(text, "right");
}

TEST_F(SharedNetworkTest, FailsWithTheSwitch) {
  make(false);
  link.reset();
  const auto end = exec::Clock::now() + 5s;
  while (!failed && exec::Clock::now() < end) std::this_thread::sleep_for(1ms);
  EXPECT_TRUE(failed);
}

}  // namespace
}  // namespace alcove::network
