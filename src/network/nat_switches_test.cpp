#include "network/nat_switches.h"

#include <gtest/gtest.h>

#include "network/testing/frames.h"

namespace alcove::network {
namespace {

using namespace testing;

const std::string kGuest = "10.0.2.15", kGuest6 = "fec0::15";

bool admits(const PrivateNetwork& wishes, const Frame& frame) {
  return NatSwitches(wishes, {}).admits(parse(frame).value());
}

// What the guest gets; empty: nothing.
Frame passed(const PrivateNetwork& wishes, const Frame& frame, const NatAddresses& addresses = {}) {
  Frame changed;
  if (!NatSwitches(wishes, addresses).passes(frame, changed)) return {};
  return changed.empty() ? frame : changed;
}

// An acknowledgement with a mask, a router and a name server; and which of these are in such a one.
Frame lease() {
  Builder message;
  message.u8(2, 1, 6, 0).zeros(wire::kDhcpCookie - 4).u32(wire::kDhcpCookieValue).u8(53, 1, 5);
  message.u8(1, 4).u32(0xffffff00).u8(3, 4).ip("10.0.2.2").u8(6, 4).ip("10.0.2.3").u8(255).zeros(8);
  return udp("10.0.2.2", 67, "255.255.255.255", 68, message.frame);
}
std::set<int> options_of(const Frame& frame) {
  std::set<int> result;
  const Frame message = datagram(frame)->data;
  for (size_t at = wire::kDhcpOptions; load8(message, at) != 255;) {
    const uint8_t option = load8(message, at++);
    if (option == 0) continue;
    result.insert(option);
    at += size_t{1} + load8(message, at);
  }
  return result;
}

Frame advertisement() {
  Builder message;
  message.u8(134, 0).u16(0).u8(64, 0).u16(1800).u32(0).u32(0);
  message.u8(25, 3).u16(0).u32(1200).ip("fec0::3");
  return ip_packet(wire::kProtocolIcmpv6, "fe80::2", "ff02::1", message.frame, wire::kIcmpChecksum);
}

TEST(NatSwitches, LetAllThroughUnlessTurnedOff) {
  for (const char* to : {"10.0.2.2", "10.0.2.3", "192.0.2.1", "255.255.255.255"})
    EXPECT_TRUE(admits({}, udp(kGuest, 4000, to, 53, "x"))) << to;
  for (const char* to : {"fec0::2", "fec0::3", "2001:db8::1", "ff02::1"})
    EXPECT_TRUE(admits({}, udp(kGuest6, 4000, to, 53, "x"))) << to;
  EXPECT_EQ(passed({}, lease()), lease());
  EXPECT_EQ(passed({}, advertisement()), advertisement());
}

TEST(NatSwitches, KeepGuestsOfOneFamilyIn) {
  const PrivateNetwork no_v4{.nat44 = false}, no_v6{.nat66 = false};
  EXPECT_FALSE(admits(no_v4, udp(kGuest, 4000, "192.0.2.1", 53, "x")));
  EXPECT_FALSE(admits(no_v4, udp(kGuest, 4000, "10.0.2.9", 53, "x"))) << "which the host's network may have";
  EXPECT_TRUE(admits(no_v4, udp(kGuest, 4000, "10.0.2.2", 80, "x")));
  EXPECT_TRUE(admits(no_v4, udp(kGuest, 4000, "10.0.2.3", 53, "x"))) << "IPv6 is reached by names";
  EXPECT_TRUE(admits(no_v4, udp(kGuest6, 4000, "2001:db8::1", 53, "x")));
  EXPECT_EQ(options_of(passed(no_v4, lease())), (std::set{1, 6, 53}));
  EXPECT_EQ(options_of(passed(no_v6, lease())), (std::set{1, 3, 6, 53}));

  for (const char* to : {"2001:db8::1", "fe80::9", "ff02::fb", "ff05::1"})
    EXPECT_FALSE(admits(no_v6, udp(kGuest6, 4000, to, 5353, "x"))) << to;
  for (const char* to : {"2001:db8::1", "fe80::9", "ff02::fb", "ff02::1:3", "ff05::1:3"})
    EXPECT_FALSE(admits(no_v6, udp(kGuest6, 546, to, 547, "DHCP is not asked there"))) << to;
  for (const char* to : {"fec0::2", "ff02::1:2"})
    EXPECT_TRUE(admits(no_v6, udp(kGuest6, 546, to, 547, "x"))) << to;
  EXPECT_TRUE(admits({.dhcp = false}, udp(kGuest6, 4000, "2001:db8::1", 547, "x")));
  EXPECT_TRUE(admits(no_v6, udp(kGuest6, 4000, "fec0::2", 80, "x")));
  EXPECT_TRUE(admits(no_v6, udp(kGuest, 4000, "192.0.2.1", 53, "x")));
  const Frame solicitation = Builder().u8(135, 0).u16(0).u32(0).ip("fec0::2").frame;
  EXPECT_TRUE(admits(no_v6, ip_packet(wire::kProtocolIcmpv6, kGuest6, "ff02::1:ff00:2", solicitation, 2)));
}

TEST(NatSwitches, KeepIpv6EchoesThatNobodyAnswers) {
  const auto echo = [](const std::string& to, uint8_t type = wire::kIcmpv6EchoRequest) {
    return ip_packet(wire::kProtocolIcmpv6, kGuest6, to, Builder().u8(type, 0).u16(0).u32(7).frame, 2);
  };
  for (const char* to : {"2001:db8::1", "fec0::4", "fec0::1:2", "fe80::9", "ff02::1", "2001:db8::2"})
    EXPECT_FALSE(admits({}, echo(to))) << to;
  for (const char* to : {"fec0::2", "fec0::3", "fe80::2", "fe80::3"}) EXPECT_TRUE(admits({}, echo(to))) << to;
  EXPECT_TRUE(admits({}, echo("2001:db8::1", wire::kIcmpv6EchoReply)));
}

TEST(NatSwitches, TellOfNoRouterThatIsNone) {
  const Frame told = passed({.nat66 = false}, advertisement());
  const auto packet = parse(told);
  ASSERT_TRUE(packet);
  EXPECT_EQ(load16(packet->transport, wire::kAdvertisementLifetime), 0);
  EXPECT_EQ(load32(packet->transport, wire::kAdvertisementOptions + 4), 1200u);
  const Frame pseudo =
      Builder().ip("fe80::2").ip("ff02::1").u32(packet->transport.size()).u32(wire::kProtocolIcmpv6).frame;
  EXPECT_EQ(sum(packet->transport, sum(pseudo)), 0xffff);
  EXPECT_EQ(passed({.router_advertisement = false}, advertisement()), Frame());
}

TEST(NatSwitches, TellOfNoNameServerThatIsNone) {
  const PrivateNetwork off{.dns_proxy = false}, host_only{.nat44 = false, .nat66 = false};
  for (const PrivateNetwork& wishes : {off, host_only}) {
    EXPECT_FALSE(admits(wishes, udp(kGuest, 4000, "10.0.2.3", 53, "x")));
    EXPECT_FALSE(admits(wishes, tcp(kGuest, "10.0.2.3", {.source = 1, .destination = 53})));
    EXPECT_FALSE(admits(wishes, udp(kGuest6, 4000, "fec0::3", 53, "x")));
    EXPECT_FALSE(admits(wishes, udp("fe80::1", 546, "ff02::1:2", 547, "x")));
    EXPECT_FALSE(options_of(passed(wishes, lease())).contains(6));
    EXPECT_EQ(load32(parse(passed(wishes, advertisement()))->transport, wire::kAdvertisementOptions + 4), 0u);
  }
  // Of a network with names of its own there is one.
  NatAddresses with_names;
  with_names.domain = "lab.internal";
  EXPECT_EQ(options_of(passed(host_only, lease(), with_names)), (std::set{1, 6, 53}));
  EXPECT_FALSE(options_of(passed(off, lease(), with_names)).contains(6));
}

TEST(NatSwitches, StandWhatIsCutShort) {
  const Frame whole = lease();
  for (size_t size = wire::kEthernetSize + wire::kIpv4Size + wire::kUdpSize; size < whole.size(); ++size)
    passed({.nat44 = false, .dns_proxy = false},
           Frame(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size)));
  const Frame told = advertisement();
  for (size_t size = wire::kEthernetSize + wire::kIpv6Size; size < told.size(); ++size)
    passed({.nat66 = false, .dns_proxy = false},
           Frame(told.begin(), told.begin() + static_cast<ptrdiff_t>(size)));
}

}  // namespace
}  // namespace alcove::network
