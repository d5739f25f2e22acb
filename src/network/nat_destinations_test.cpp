#include "network/nat_destinations.h"

#include <gtest/gtest.h>

#include "network/testing/frames.h"

namespace alcove::network {
namespace {

using namespace testing;

const std::string kGuest = "10.0.2.15", kGuest6 = "fec0::15";

bool may_go(const Frame& frame, const NatAddresses& addresses = {}) {
  return is_nat_destination(parse(frame).value(), addresses);
}
// To any port of UDP and TCP.
bool may_be_asked(const std::string& address) {
  const std::string& from = address.contains(':') ? kGuest6 : kGuest;
  const bool by_udp = may_go(udp(from, 4000, address, 80, "x"));
  EXPECT_EQ(by_udp, may_go(tcp(from, address, {.source = 4000, .destination = 80, .flags = wire::kTcpSyn})));
  return by_udp;
}

TEST(NatDestinations, TheHostHasOneAddressOfAFamily) {
  for (const char* host : {"10.0.2.2", "10.0.2.3", "fec0::2", "fec0::3"})
    EXPECT_TRUE(may_be_asked(host)) << host;
  for (const char* disguised :
       {"127.0.0.1", "127.0.0.53", "127.255.255.255", "0.0.0.0", "0.1.2.3", "255.255.255.255"})
    EXPECT_FALSE(may_be_asked(disguised)) << disguised;
  for (const char* disguised : {"::1", "::", "fec0::", "fec0::1", "fec0::4", "fec0::102", "fec0::1:2",
                                "fec0::1:0:0:2", "fec0::15", "ff02::1"})
    EXPECT_FALSE(may_be_asked(disguised)) << disguised;
  NatAddresses other;
  other.prefix = {0xfd, 9};
  EXPECT_TRUE(may_go(udp(kGuest6, 4000, "fd09::2", 80, "x"), other));
  EXPECT_FALSE(may_go(udp(kGuest6, 4000, "fd09::5", 80, "x"), other));
  EXPECT_TRUE(may_go(udp(kGuest6, 4000, "fec0::5", 80, "x"), other));
}

TEST(NatDestinations, Ipv6ReachesNoIpv4) {
  for (const char* disguised : {"::ffff:192.0.2.1", "::ffff:127.0.0.1", "::192.0.2.1", "::ffff:0.0.0.0"})
    EXPECT_FALSE(may_be_asked(disguised)) << disguised;
  for (const char* other : {"64:ff9b::192.0.2.1", "::ffff:0:192.0.2.1", "::fffe:192.0.2.1", "::1:0:0:0"})
    EXPECT_TRUE(may_be_asked(other)) << other;
}

TEST(NatDestinations, PartsOfDatagramsGoNoFurther) {
  Frame part = udp(kGuest, 4000, "255.255.255.255", 67, "x");
  EXPECT_TRUE(may_go(part));
  store16(part, wire::kEthernetSize + wire::kIpv4Fragment, 0x2000);
  EXPECT_FALSE(may_go(part));
  part = udp(kGuest, 4000, "127.0.0.1", 80, "x");
  store16(part, wire::kEthernetSize + wire::kIpv4Fragment, 1);
  EXPECT_FALSE(may_go(part));
}

TEST(NatDestinations, OthersAndTheNetworkItselfAreReached) {
  for (const char* other : {"192.0.2.1", "10.0.2.9", "224.0.0.251", "128.0.0.1", "1.0.0.1", "2001:db8::1",
                            "fe80::9", "ff02::fb", "ff02::1:2", "ff05::1"})
    EXPECT_TRUE(may_be_asked(other)) << other;
  EXPECT_TRUE(may_go(arp_request(kGuest, "10.0.2.2")));
  EXPECT_TRUE(may_go(dhcp(1)));
  EXPECT_TRUE(may_go(udp("fe80::1", 546, "ff02::1:2", 547, "solicit")));
  const Frame neighbour = Builder().u8(136, 0).u16(0).u32(0).ip(kGuest6).frame;
  for (const char* asker : {"fec0::2", "fe80::2", "ff02::1", "ff02::2", "ff02::1:ff00:2", "ff02::16"})
    EXPECT_TRUE(may_go(ip_packet(wire::kProtocolIcmpv6, kGuest6, asker, neighbour, 2))) << asker;
}

}  // namespace
}  // namespace alcove::network
