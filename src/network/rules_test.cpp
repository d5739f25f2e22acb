#include "network/rules.h"

#include <gtest/gtest.h>

#include "network/filtered_network.h"
#include "network/testing/frames.h"

namespace alcove::network {
namespace {

using testing::arp_request;
using testing::Builder;
using testing::dhcp;
using testing::ethernet;
using testing::Frame;
using testing::ip_packet;
using testing::Segment;
using testing::tcp;
using testing::udp;
namespace wire = spec::internet;

constexpr auto kAllow = NetworkRuleAction::allow, kDeny = NetworkRuleAction::deny;
constexpr auto kTcp = TransportProtocol::tcp, kUdp = TransportProtocol::udp;
const std::string kGuest = "10.0.2.15", kGuest6 = "fec0::15";
const std::vector<NetworkRule> kDenyAll(1);

Frame connect(const std::string& to, uint16_t port) {
  return tcp(to.contains(':') ? kGuest6 : kGuest, to,
             {.source = 40000, .destination = port, .flags = wire::kTcpSyn});
}
Frame ping(const std::string& from, const std::string& to, uint8_t type = 8, uint16_t identifier = 7) {
  const bool v6 = from.contains(':');
  return ip_packet(v6 ? wire::kProtocolIcmpv6 : wire::kProtocolIcmp, from, to,
                   Builder().u8(v6 ? 128 + type % 8 : type, 0).u16(0).u16(identifier).u16(1).frame, 2);
}
// With other bytes in the IP header.
Frame changed(Frame frame, size_t offset, std::initializer_list<uint8_t> bytes) {
  for (const uint8_t byte : bytes) frame[wire::kEthernetSize + offset++] = std::byte{byte};
  return frame;
}

TEST(Rules, TheFirstThatFitsDecides) {
  Rules rules({{.action = kAllow, .destination = "10.1.2.0/24", .protocol = kTcp, .first_port = 443},
               {.action = kAllow,
                .destination = "10.1.0.0/16",
                .protocol = kUdp,
                .first_port = 1000,
                .last_port = 1999},
               {.action = kDeny, .destination = "10.0.0.0/8"},
               {.action = kDeny, .destination = "", .protocol = kTcp, .first_port = 25}});
  EXPECT_TRUE(rules.allows(connect("10.1.2.3", 443)));
  EXPECT_FALSE(rules.allows(connect("10.1.2.3", 444)));
  EXPECT_FALSE(rules.allows(connect("10.1.3.3", 443)));
  EXPECT_TRUE(rules.allows(udp(kGuest, 1, "10.1.3.3", 1000, "x")));
  EXPECT_TRUE(rules.allows(udp(kGuest, 1, "10.1.3.3", 1999, "x")));
  EXPECT_FALSE(rules.allows(udp(kGuest, 1, "10.1.3.3", 2000, "x")));
  EXPECT_FALSE(rules.allows(ping(kGuest, "10.1.2.3")));
  EXPECT_TRUE(rules.allows(ping(kGuest, "1.1.1.1")));
  EXPECT_FALSE(rules.allows(connect("1.1.1.1", 25)));
  EXPECT_FALSE(rules.allows(connect("2001:db8::1", 25)));
  EXPECT_TRUE(rules.allows(connect("2001:db8::1", 26)));
  EXPECT_TRUE(rules.allows(udp(kGuest, 1, "1.1.1.1", 25, "x")));
}

TEST(Rules, TheNetworkItselfWorks) {
  Rules rules(kDenyAll);
  EXPECT_FALSE(rules.allows(connect("1.1.1.1", 443)));
  EXPECT_FALSE(rules.allows(udp(kGuest, 5000, "10.0.2.3", 53, "question")));
  EXPECT_TRUE(rules.allows(arp_request(kGuest, "10.0.2.2")));
  EXPECT_TRUE(rules.allows(dhcp(1)));
  EXPECT_FALSE(rules.allows(udp(kGuest, 68, "1.1.1.1", 67, "not to all")));
  EXPECT_TRUE(rules.allows(udp("fe80::1", 546, "ff02::1:2", 547, "solicit")));
  const auto neighbour = [](uint8_t type) {
    return ip_packet(wire::kProtocolIcmpv6, "fe80::1", "fec0::2",
                     Builder().u8(type, 0).u16(0).zeros(20).frame, 2);
  };
  for (uint8_t type = 133; type <= 137; ++type) EXPECT_TRUE(rules.allows(neighbour(type)));
  EXPECT_FALSE(rules.allows(neighbour(128)));
  // From a distance.
  EXPECT_FALSE(rules.allows(changed(neighbour(135), wire::kIpv6HopLimit, {64})));
}

TEST(Rules, OfGroupsOnlyListenersTell) {
  Rules rules(kDenyAll);
  // Behind a hop-by-hop header with padding, or with a longer one.
  const auto behind = [](uint8_t protocol, const std::string& to, Bytes payload, uint8_t units = 0) {
    const Frame padding = Builder().zeros(units * size_t{8}).frame;
    const Frame options = Builder().u8(protocol, units, 1, 4).zeros(4).raw(padding).raw(payload).frame;
    return ethernet(wire::kTypeIpv6, Builder()
                                         .u32(6u << 28)
                                         .u16(options.size())
                                         .u8(wire::kNextHeaderHopByHop, 1)
                                         .ip("fe80::1")
                                         .ip(to)
                                         .raw(options)
                                         .frame);
  };
  const auto message = [](uint8_t type) { return Builder().u8(type, 0).u16(0).zeros(20).frame; };
  for (const uint8_t type : {130, 131, 132, 143}) {
    EXPECT_TRUE(rules.allows(behind(wire::kProtocolIcmpv6, "ff02::16", message(type)))) << int{type};
    EXPECT_TRUE(rules.allows(behind(wire::kProtocolIcmpv6, "ff02::16", message(type), 2))) << int{type};
    EXPECT_FALSE(rules.allows(behind(wire::kProtocolIcmpv6, "2001:db8::1", message(type)))) << int{type};
    EXPECT_FALSE(rules.allows(behind(wire::kProtocolUdp, "ff02::16", message(type)))) << int{type};
  }
  for (const uint8_t type : {1, 128, 129, 133, 142, 144})
    EXPECT_FALSE(rules.allows(behind(wire::kProtocolIcmpv6, "ff02::16", message(type)))) << int{type};
  const Frame datagram = Builder().u16(5000).u16(6000).u16(9).u16(0).u8(1).frame;
  EXPECT_FALSE(rules.allows(behind(wire::kProtocolUdp, "ff02::1", datagram)));
  // Another header between them; and cut short.
  EXPECT_FALSE(rules.allows(behind(wire::kNextHeaderHopByHop, "ff02::16", message(143))));
  const Frame whole = behind(wire::kProtocolIcmpv6, "ff02::16", message(143), 1);
  for (size_t size = 0; size < wire::kEthernetSize + wire::kIpv6Size + 16; ++size)
    EXPECT_FALSE(rules.allows(Bytes(whole).first(size))) << size;
  EXPECT_FALSE(rules.allows(udp("fe80::1", 546, "ff02::1", 547, "not DHCP's servers")));
  EXPECT_FALSE(rules.allows(udp("fe80::1", 546, "ff02::fb", 547, "not DHCP's servers")));
}

TEST(Rules, NothingHides) {
  Rules rules({{.action = kDeny, .destination = "1.1.1.1", .protocol = kTcp, .first_port = 25},
               {.action = kDeny, .destination = "2001:db8::/32", .protocol = kTcp}});
  const Frame good = connect("1.1.1.1", 80), bad = connect("1.1.1.1", 25), six = connect("2001:db9::1", 80);
  EXPECT_TRUE(rules.allows(good));
  EXPECT_FALSE(rules.allows(bad));
  EXPECT_TRUE(rules.allows(six));
  // Other kinds of frame, a VLAN's tag among them.
  EXPECT_FALSE(rules.allows(ethernet(0x8100, Bytes(bad).subspan(10))));
  EXPECT_FALSE(rules.allows(ethernet(0x88cc, Frame(50))));
  EXPECT_FALSE(rules.allows(Bytes(bad).first(10)));
  // Parts of datagrams, to addresses of which anything is denied.
  EXPECT_FALSE(rules.allows(changed(good, wire::kIpv4Fragment, {0x20, 0})));
  EXPECT_FALSE(rules.allows(changed(good, wire::kIpv4Fragment, {0, 1})));
  EXPECT_TRUE(rules.allows(changed(connect("1.1.1.2", 25), wire::kIpv4Fragment, {0x20, 0})));
  // Options; one that is too short for its header; extension headers.
  EXPECT_FALSE(rules.allows(changed(good, 0, {0x46})));
  EXPECT_FALSE(rules.allows(Bytes(good).first(wire::kEthernetSize + wire::kIpv4Size + 12)));
  for (const uint8_t header : {0, 43, 44, 51, 60, 135})
    EXPECT_FALSE(rules.allows(changed(six, wire::kIpv6NextHeader, {header}))) << int{header};
}

TEST(Rules, AnswersAreAllowed) {
  Rules rules(kDenyAll);
  const Segment call{.source = 5000, .destination = 22, .flags = wire::kTcpSyn},
      answer{.source = 22, .destination = 5000, .flags = wire::kTcpSyn | wire::kTcpAck};
  EXPECT_FALSE(rules.allows(tcp(kGuest, "10.0.2.2", answer)));
  rules.see_to_guest(tcp("10.0.2.2", kGuest, call));
  EXPECT_TRUE(rules.allows(tcp(kGuest, "10.0.2.2", answer)));
  EXPECT_FALSE(rules.allows(tcp(kGuest, "10.0.2.4", answer)));
  EXPECT_FALSE(rules.allows(udp(kGuest, 22, "10.0.2.2", 5000, "x")));
  rules.see_to_guest(udp("10.0.2.2", 1, kGuest, 2, "x"));
  EXPECT_TRUE(rules.allows(udp(kGuest, 2, "10.0.2.2", 1, "x")));
  EXPECT_FALSE(rules.allows(udp(kGuest, 3, "10.0.2.2", 1, "x")));
  EXPECT_FALSE(rules.allows(ping(kGuest, "10.0.2.2", 0)));
  rules.see_to_guest(ping("10.0.2.2", kGuest));
  EXPECT_TRUE(rules.allows(ping(kGuest, "10.0.2.2", 0)));
  EXPECT_FALSE(rules.allows(ping(kGuest, "10.0.2.2", 0, 8)));
  EXPECT_FALSE(rules.allows(ping(kGuest, "10.0.2.2")));
}

TEST(Rules, FloodsPushTheOldestOut) {
  Rules rules(kDenyAll);
  const auto from = [](unsigned number) {
    return "10." + std::to_string(number >> 16) + "." + std::to_string(number >> 8 & 255) + "." +
           std::to_string(number & 255);
  };
  const auto used = from(1 << 20);
  rules.see_to_guest(udp(used, 1, kGuest, 2, "x"));
  for (unsigned number = 0; number < 20000; ++number) {
    rules.see_to_guest(udp(from(number), 1, kGuest, 2, "x"));
    if (number % 1000 == 0) {
      EXPECT_TRUE(rules.allows(udp(kGuest, 2, used, 1, "x")));
    }
  }
  EXPECT_FALSE(rules.allows(udp(kGuest, 2, from(0), 1, "x")));
  EXPECT_TRUE(rules.allows(udp(kGuest, 2, from(19999), 1, "x")));
}

class FakeNetwork final : public Network {
 public:
  void connect(FrameReceiver* to) override { receiver = to; }
  void transmit(Bytes frame, size_t) override { sent.emplace_back(frame.begin(), frame.end()); }
  void pause() override {}
  void resume() override {}
  std::vector<std::string> addresses() const override { return {"10.0.2.15"}; }
  FrameReceiver* receiver = nullptr;
  std::vector<Frame> sent;
};

TEST(FilteredNetwork, StandsBetween) {
  auto made = std::make_unique<FakeNetwork>();
  FakeNetwork& inner = *made;
  FilteredNetwork network(std::move(made), {NetworkRule{.destination = "10.0.0.0/8"}});
  testing::Collector guest;
  network.connect(&guest);
  ASSERT_NE(inner.receiver, nullptr);
  network.transmit(connect("10.0.2.2", 80), 0);
  EXPECT_TRUE(inner.sent.empty());
  network.transmit(connect("1.1.1.1", 80), 0);
  EXPECT_EQ(inner.sent, std::vector<Frame>(1, connect("1.1.1.1", 80)));
  const Frame question = udp("10.0.2.2", 1, kGuest, 2, "question");
  inner.receiver->receive(question, Checksums::right);
  EXPECT_TRUE(guest.wait([&](Bytes frame) { return Frame(frame.begin(), frame.end()) == question; }));
  network.transmit(udp(kGuest, 2, "10.0.2.2", 1, "answer"), 0);
  EXPECT_EQ(inner.sent.size(), 2u);
  EXPECT_EQ(network.addresses(), inner.addresses());
  network.connect(nullptr);
  EXPECT_EQ(inner.receiver, nullptr);
}

}  // namespace
}  // namespace alcove::network
