#include "network/nat_network.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "network/testing/frames.h"
#include "network/testing/host_socket.h"

namespace alcove::network {
namespace {

using namespace testing;
using namespace std::chrono_literals;

constexpr uint8_t kFin = 1, kSyn = 2, kAck = 16;
const std::string kGuest = "10.0.2.15", kHost = "10.0.2.2";

std::string receive(int fd, size_t size) {
  std::string text(size, 0);
  size_t at = 0;
  while (at < size) {
    const ssize_t got = recv(fd, text.data() + at, size - at, 0);
    if (got <= 0) break;
    at += static_cast<size_t>(got);
  }
  text.resize(at);
  return text;
}

class NatTest : public ::testing::Test {
 protected:
  NatTest() { make({}); }
  ~NatTest() override { network.reset(); }
  void make(std::vector<PortForward> forwards, const PrivateNetwork& wishes = {}) {
    network.reset();
    network = NatNetwork::create(thread.loop(), {.mac_address = MACAddress(kGuestMac),
                                                 .addresses = with_wishes({}, wishes),
                                                 .wishes = wishes,
                                                 .port_forwards = std::move(forwards),
                                                 .addresses_changed = [this] { ++changes; }})
                  .value();
    thread.loop().call([&] { network->connect(&guest); });
  }
  void send(const Frame& frame) {
    thread.loop().call([&] { network->transmit(frame, 0); });
  }
  void introduce() { send(arp_request(kGuest, kHost)); }

  // The next segment to the guest's port.
  std::optional<Segment> segment(uint16_t port, uint8_t flags = 0) {
    return guest.wait([&](Bytes frame) {
      auto found = tcp_segment(frame);
      const bool wanted = found && found->destination == port && (found->flags & flags) == flags;
      return wanted ? found : std::nullopt;
    });
  }

  exec::LoopThread thread{"net"};
  Collector guest;
  std::atomic<int> changes = 0;
  std::unique_ptr<NatNetwork> network;
};

TEST_F(NatTest, GivesTheGuestAnAddressAndLearnsIt) {
  const auto offered = [&](uint8_t type) {
    return guest.wait([&](Bytes frame) -> std::optional<std::string> {
      const auto message = datagram(frame);
      if (!message || message->destination != 68) return std::nullopt;
      const Bytes data = message->data;
      EXPECT_EQ(load8(data, wire::kDhcpOptions + 2), type);
      char text[INET_ADDRSTRLEN];
      return inet_ntop(AF_INET, data.data() + wire::kDhcpYourAddress, text, sizeof text);
    });
  };
  send(dhcp(1));
  EXPECT_EQ(offered(2), kGuest);
  EXPECT_TRUE(network->addresses().empty());
  send(dhcp(3, kGuest));
  EXPECT_EQ(offered(5), kGuest);
  EXPECT_EQ(network->addresses(), std::vector{kGuest});
  const auto limit = exec::Clock::now() + 5s;
  while (changes == 0 && exec::Clock::now() < limit) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(changes, 1);
}

TEST_F(NatTest, HasTheSubnetThatIsWishedFor) {
  make({},
       {.ipv4_subnet = "192.168.77.0/24", .ipv4_address = "192.168.77.9", .maximum_transmission_unit = 4000});
  EXPECT_EQ(network->mtu(), 4000);
  send(dhcp(1));
  EXPECT_EQ(guest.wait([&](Bytes frame) -> std::optional<uint32_t> {
    const auto message = datagram(frame);
    if (!message || message->destination != 68) return std::nullopt;
    return load32(message->data, wire::kDhcpYourAddress);
  }),
            address_from_text("192.168.77.9"));
  HostSocket server(SOCK_DGRAM);
  send(arp_request("192.168.77.9", "192.168.77.2"));
  send(udp("192.168.77.9", 4000, "192.168.77.2", server.port, std::string(3900, 'x')));
  EXPECT_EQ(receive(server.fd.get(), 3900), std::string(3900, 'x'));
}

TEST_F(NatTest, GivesNothingThatIsTurnedOff) {
  make({}, {.nat44 = false, .nat66 = false, .dhcp = false, .router_advertisement = false});
  introduce();
  guest.wait([](Bytes) { return true; });
  send(dhcp(1));
  const Frame solicitation = Builder().u8(133, 0).u16(0).u32(0).frame;
  send(ip_packet(wire::kProtocolIcmpv6, "fe80::5054:ff:fe12:3456", "ff02::2", solicitation, 2));
  EXPECT_FALSE(guest.wait([](Bytes) { return true; }, 50ms));
  // The host's own address, as an address of the world, is not reached, and as the network's host it is.
  HostSocket server(SOCK_DGRAM);
  const uint64_t refused = network->refused_frames();
  send(udp(kGuest, 4000, "127.0.0.1", server.port, "wrong"));
  EXPECT_EQ(network->refused_frames(), refused + 1);
  send(udp(kGuest, 4000, kHost, server.port, "right"));
  EXPECT_EQ(receive(server.fd.get(), 5), "right");
}

TEST_F(NatTest, AnswersArpForTheHostAndTheNameServer) {
  for (const std::string& address : {kHost, std::string("10.0.2.3")}) {
    send(arp_request(kGuest, address));
    EXPECT_TRUE(guest.wait([&](Bytes frame) -> std::optional<bool> {
      if (load16(frame, wire::kEthernetType) != wire::kTypeArp) return std::nullopt;
      return load8(frame, 14 + 7) == 2;  // A reply.
    })) << address;
  }
}

TEST_F(NatTest, CarriesDatagramsBothWays) {
  HostSocket server(SOCK_DGRAM);
  introduce();
  send(udp(kGuest, 4000, kHost, server.port, "ping"));
  char buffer[16];
  sockaddr_in from;
  socklen_t size = sizeof from;
  ASSERT_EQ(recvfrom(server.fd.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size),
            4);
  ASSERT_EQ(sendto(server.fd.get(), "pong!", 5, 0, reinterpret_cast<sockaddr*>(&from), size), 5);
  const auto answer = guest.wait([](Bytes frame) { return datagram(frame); });
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->text(), "pong!");
  EXPECT_EQ(answer->source, server.port);
  EXPECT_EQ(answer->destination, 4000);
}

TEST_F(NatTest, ReachesTheHostByItsOwnAddressesAlone) {
  HostSocket server(SOCK_DGRAM);
  introduce();
  const uint64_t refused = network->refused_frames();
  send(udp(kGuest, 4000, "127.0.0.1", server.port, "wrong"));
  send(udp(kGuest, 4001, "255.255.255.255", server.port, "wrong"));
  send(udp(kGuest, 4002, "0.0.0.0", server.port, "wrong"));
  send(udp("fec0::15", 4003, "::ffff:127.0.0.1", server.port, "wrong"));
  EXPECT_EQ(network->refused_frames(), refused + 4);
  send(udp(kGuest, 4004, kHost, server.port, "right"));
  EXPECT_EQ(receive(server.fd.get(), 5), "right");
}

TEST_F(NatTest, CarriesAConnectionFromTheGuest) {
  HostSocket server(SOCK_STREAM);
  ASSERT_EQ(listen(server.fd.get(), 1), 0);
  introduce();
  Segment mine{.source = 5000, .destination = server.port, .sequence = 1000, .flags = kSyn};
  send(tcp(kGuest, kHost, mine));
  UniqueFd connection(accept(server.fd.get(), nullptr, nullptr));
  ASSERT_TRUE(connection);
  const auto established = segment(5000, kSyn | kAck);
  ASSERT_TRUE(established);
  // One large segment, as an offloading guest sends it, and the same bytes back in small ones.
  mine = {5000, server.port, 1001, established->sequence + 1, kAck, std::string(60'000, 'q')};
  mine.data[59'999] = '.';
  send(tcp(kGuest, kHost, mine));
  EXPECT_EQ(receive(connection.get(), 60'000), mine.data);
  ASSERT_EQ(::send(connection.get(), mine.data.data(), 60'000, 0), 60'000);
  std::string got;
  while (got.size() < 60'000) {
    auto piece = segment(5000);
    ASSERT_TRUE(piece);
    EXPECT_LE(piece->data.size(), 1460u);
    if (piece->sequence != established->sequence + 1 + got.size()) continue;
    got += piece->data;
    send(tcp(
        kGuest, kHost,
        {5000, server.port, 61'001, static_cast<uint32_t>(established->sequence + 1 + got.size()), kAck}));
  }
  EXPECT_EQ(got, mine.data);
  connection.reset();
  EXPECT_TRUE(segment(5000, kFin));
}

TEST_F(NatTest, ForwardsConnectionsToTheGuestUntilTheForwardIsRemoved) {
  introduce();
  const auto forward = network->add_forward({.host_port = 0, .guest_port = 22});
  ASSERT_TRUE(forward) << forward.error().message();
  ASSERT_NE(forward->host_port, 0);
  EXPECT_EQ(network->forwards(), std::vector{*forward});
  HostSocket client(SOCK_STREAM);
  ASSERT_TRUE(client.connect(forward->host_port));
  const auto knock = segment(22, kSyn);
  ASSERT_TRUE(knock);
  Segment mine{22, knock->source, 7000, knock->sequence + 1, kSyn | kAck};
  send(tcp(kGuest, kHost, mine));
  mine = {22, knock->source, 7001, knock->sequence + 1, kAck, "SSH-2.0"};
  send(tcp(kGuest, kHost, mine));
  EXPECT_EQ(receive(client.fd.get(), 7), "SSH-2.0");
  ASSERT_TRUE(network->remove_forward(*forward));
  EXPECT_TRUE(network->forwards().empty());
  EXPECT_FALSE(HostSocket(SOCK_STREAM).connect(forward->host_port));
  ASSERT_EQ(::send(client.fd.get(), "still here", 10, 0), 10);
  const auto later = guest.wait([](Bytes frame) {
    auto found = tcp_segment(frame);
    return found && !found->data.empty() ? found : std::nullopt;
  });
  ASSERT_TRUE(later);
  EXPECT_EQ(later->data, "still here");
  EXPECT_FALSE(network->remove_forward(*forward));
}

TEST_F(NatTest, ForwardsDatagramsToTheGuest) {
  make({{.protocol = TransportProtocol::udp, .guest_port = 53}});
  introduce();
  ASSERT_EQ(network->forwards().size(), 1u);
  HostSocket client(SOCK_DGRAM);
  ASSERT_TRUE(client.connect(network->forwards()[0].host_port));
  ASSERT_EQ(::send(client.fd.get(), "who?", 4, 0), 4);
  const auto question = guest.wait([](Bytes frame) { return datagram(frame); });
  ASSERT_TRUE(question);
  EXPECT_EQ(question->text(), "who?");
  EXPECT_EQ(question->destination, 53);
  send(udp(kGuest, 53, kHost, question->source, "me"));
  EXPECT_EQ(receive(client.fd.get(), 2), "me");
}

TEST_F(NatTest, SaysWhyAForwardCannotBe) {
  for (auto [protocol, type] :
       {std::pair(TransportProtocol::tcp, SOCK_STREAM), std::pair(TransportProtocol::udp, SOCK_DGRAM)}) {
    HostSocket taken(type);
    ASSERT_TRUE(type != SOCK_STREAM || listen(taken.fd.get(), 1) == 0);
    const auto refused =
        network->add_forward({.protocol = protocol, .host_port = taken.port, .guest_port = 80});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::network_error);
    EXPECT_NE(refused.error().message().find(std::to_string(taken.port) + " of 127.0.0.1 is in use"),
              std::string::npos)
        << refused.error().message();
  }
  const auto refusal = [&](const PortForward& forward) {
    return network->add_forward(forward).error().where;
  };
  EXPECT_EQ(refusal({.host_address = "localhost", .guest_port = 1}), "host_address");
  EXPECT_EQ(refusal({.host_address = "192.0.2.1", .guest_port = 1}), "host_address");
  EXPECT_EQ(refusal({.guest_address = "fec0::1", .guest_port = 1}), "guest_address");
  EXPECT_EQ(refusal({.guest_port = 0}), "guest_port");
  for (const char* any : {"", "::"}) {
    const PortForward datagrams{
        .protocol = TransportProtocol::udp, .host_address = "::1", .guest_address = any, .guest_port = 1};
    const auto refused = network->add_forward(datagrams);
    ASSERT_FALSE(refused) << "would end the machine with the first datagram";
    EXPECT_EQ(refused.error().where, "guest_address");
    EXPECT_NE(refused.error().message().find("name the guest's IPv6 address"), std::string::npos);
  }
  const auto first = network->add_forward({.guest_port = 80});
  const auto made = NatNetwork::create(
      thread.loop(),
      {.port_forwards = {{.guest_port = 1}, {.host_port = first->host_port, .guest_port = 80}}});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().where, "port_forwards[1].host_port");
}

TEST_F(NatTest, SaysWhyAnInterfaceCannotBeUsed) {
  const auto made = NatNetwork::create(thread.loop(), {.wishes = {.external_interface = "nosuch0"}});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().where, "network.external_interface");
}

TEST_F(NatTest, AnswersRouterSolicitations) {
  Frame solicitation = Builder().u8(133, 0).u16(0).u32(0).frame;
  send(ip_packet(wire::kProtocolIcmpv6, "fe80::5054:ff:fe12:3456", "ff02::2", solicitation, 2));
  EXPECT_TRUE(guest.wait([](Bytes frame) -> std::optional<bool> {
    const auto packet = parse(frame);
    if (packet->protocol != wire::kProtocolIcmpv6 || load8(packet->transport, 0) != 134) return std::nullopt;
    return true;
  }));
  EXPECT_EQ(network->addresses(), std::vector<std::string>{"fe80::5054:ff:fe12:3456"});
}

TEST_F(NatTest, RefusesWhatNoSuchGuestSends) {
  send(Frame(3));
  send(ethernet(0x88f8, Frame(100)));                         // NC-SI is for baseboard controllers.
  send(udp(kGuest, 1, kHost, 2, Frame(1600)));                // Longer than the MTU.
  send(ethernet(wire::kTypeIpv4, Builder().u8(0x4f).frame));  // No room for a header.
  EXPECT_EQ(network->refused_frames(), 4u);
}

// At most so many descriptors for as long as it lives.
struct FewDescriptors {
  explicit FewDescriptors(rlim_t most) {
    getrlimit(RLIMIT_NOFILE, &before);
    const rlimit low{.rlim_cur = most, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &low);
  }
  ~FewDescriptors() { setrlimit(RLIMIT_NOFILE, &before); }
  rlimit before{};
};

TEST_F(NatTest, LeavesTheHostItsDescriptors) {
  const FewDescriptors few(128);
  make({});
  HostSocket server(SOCK_DGRAM);
  for (unsigned port = 1; port < 200; ++port) send(udp(kGuest, port, kHost, server.port, "x"));
  UniqueFd still(dup(server.fd.get()));
  EXPECT_TRUE(still);
  EXPECT_GE(network->refused_frames(), 199u - 16 - 4);  // A few sockets may have ended meanwhile.
}

TEST_F(NatTest, LeavesThemWhateverTheNumberOfCards) {
  const FewDescriptors few(128);
  make({});
  auto first = std::move(network);
  make({});
  HostSocket server(SOCK_DGRAM);
  for (NatNetwork* card : {first.get(), network.get()})
    for (unsigned port = 1; port < 100; ++port)
      thread.loop().call([&] { card->transmit(udp(kGuest, port, kHost, server.port, "x"), 0); });
  UniqueFd still(dup(server.fd.get()));
  EXPECT_TRUE(still);
  EXPECT_GE(first->refused_frames() + network->refused_frames(), 198u - 64 - 4);
  // What one no longer has the other gets.
  const uint64_t refused = network->refused_frames();
  EXPECT_GE(refused, 99u - 4);
  first.reset();
  send(udp(kGuest, 200, kHost, server.port, "x"));
  EXPECT_EQ(network->refused_frames(), refused);
}

TEST_F(NatTest, KeepsPartsOfDatagramsWithinBounds) {
  make({}, {.maximum_transmission_unit = 65520});
  introduce();
  constexpr unsigned kMost = (64 << 20) / 65520;
  thread.loop().call([&] {
    for (unsigned number = 0; number < kMost + 100; ++number) {
      Frame part = udp(kGuest, 4000, kHost, 9, "never whole");
      const auto ip = std::span(part).subspan(wire::kEthernetSize);
      store16(ip, wire::kIpv4Identification, static_cast<uint16_t>(number));
      store16(ip, wire::kIpv4Fragment, 0x2000);
      store16(ip, wire::kIpv4Checksum, 0);
      store16(ip, wire::kIpv4Checksum, ~sum(Bytes(ip).first(wire::kIpv4Size)));
      network->transmit(part, 0);
    }
  });
  EXPECT_EQ(network->refused_frames(), 100u);
  // Whole ones go on.
  HostSocket server(SOCK_DGRAM);
  send(udp(kGuest, 4000, kHost, server.port, "whole"));
  EXPECT_EQ(receive(server.fd.get(), 5), "whole");
}

TEST_F(NatTest, CountsNoSocketThatCouldNotBeMade) {
  HostSocket server(SOCK_DGRAM);
  introduce();
  const size_t before = SlirpStack::socket_count();
  {
    const FewDescriptors none(0);
    send(udp(kGuest, 4000, kHost, server.port, "x"));
  }
  EXPECT_EQ(network->refused_frames(), 0u);
  EXPECT_EQ(SlirpStack::socket_count(), before);
  send(udp(kGuest, 4000, kHost, server.port, "y"));
  EXPECT_EQ(SlirpStack::socket_count(), before + 1);
  EXPECT_EQ(receive(server.fd.get(), 1), "y");
}

TEST_F(NatTest, StandsStillWhilePaused) {
  HostSocket server(SOCK_DGRAM);
  introduce();
  guest.wait([](Bytes) { return true; });
  send(udp(kGuest, 4000, kHost, server.port, "ping"));
  char buffer[16];
  sockaddr_in from;
  socklen_t size = sizeof from;
  ASSERT_EQ(recvfrom(server.fd.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size),
            4);
  thread.loop().call([&] { network->pause(); });
  sendto(server.fd.get(), "pong", 4, 0, reinterpret_cast<sockaddr*>(&from), size);
  EXPECT_FALSE(guest.wait([](Bytes frame) { return datagram(frame); }, 50ms));
  thread.loop().call([&] { network->resume(); });
  EXPECT_TRUE(guest.wait([](Bytes frame) { return datagram(frame); }));
}

}  // namespace
}  // namespace alcove::network
