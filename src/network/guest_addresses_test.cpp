#include "network/guest_addresses.h"

#include <gtest/gtest.h>

#include "network/testing/frames.h"

namespace alcove::network {
namespace {

using namespace testing;
using Strings = std::vector<std::string>;

Frame acknowledgement(const std::string& address, const Mac& mac = kGuestMac) {
  Builder message;
  message.u8(2, 1, 6, 0).zeros(12).ip(address).zeros(8).mac(mac).zeros(10 + 64 + 128);
  message.u32(wire::kDhcpCookieValue).u8(0, 53, 1, 5, 255);
  return udp("10.0.2.2", 67, "255.255.255.255", 68, message.frame);
}

TEST(GuestAddresses, LearnsFromDhcpArpAndPackets) {
  GuestAddresses addresses{MACAddress(kGuestMac)};
  EXPECT_FALSE(addresses.see_from_guest(dhcp(1)));
  EXPECT_TRUE(addresses.see_from_guest(udp("fe80::1", 1, "ff02::1", 2, "x")));
  EXPECT_TRUE(addresses.see_from_guest(udp("fec0::5054", 1, "fec0::2", 2, "x")));
  EXPECT_TRUE(addresses.see_from_guest(arp_request("10.0.2.77", "10.0.2.2")));
  EXPECT_TRUE(addresses.see_to_guest(acknowledgement("10.0.2.15")));
  EXPECT_FALSE(addresses.see_to_guest(acknowledgement("10.0.2.15")));
  EXPECT_FALSE(addresses.see_from_guest(udp("10.0.2.15", 1, "10.0.2.2", 2, "x")));
  EXPECT_EQ(addresses.list(), (Strings{"10.0.2.15", "10.0.2.77", "fec0::5054", "fe80::1"}));
}

TEST(GuestAddresses, ForgetsAReleasedOrReplacedLease) {
  GuestAddresses addresses{MACAddress(kGuestMac)};
  addresses.see_to_guest(acknowledgement("10.0.2.15"));
  EXPECT_TRUE(addresses.see_to_guest(acknowledgement("10.0.2.16")));
  EXPECT_EQ(addresses.list(), Strings{"10.0.2.16"});
  Builder release;
  release.u8(1, 1, 6, 0).zeros(8).ip("10.0.2.16").zeros(12).mac(kGuestMac).zeros(10 + 64 + 128);
  release.u32(wire::kDhcpCookieValue).u8(53, 1, 7, 255);
  EXPECT_TRUE(addresses.see_from_guest(udp("10.0.2.16", 68, "10.0.2.2", 67, release.frame)));
  EXPECT_EQ(addresses.list(), Strings{});
}

TEST(GuestAddresses, BelievesNeitherOthersNorAddressesThatAreNobodys) {
  GuestAddresses addresses{MACAddress(kGuestMac)};
  Frame other = arp_request("10.0.2.88", "10.0.2.2");
  other[6] = std::byte{2};
  EXPECT_FALSE(addresses.see_from_guest(other));
  EXPECT_FALSE(addresses.see_to_guest(acknowledgement("10.0.2.15", kBroadcast)));
  for (const char* address : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"}) {
    EXPECT_FALSE(addresses.see_from_guest(udp(address, 1, "10.0.2.2", 2, "x"))) << address;
  }
  for (const char* address : {"::", "::1", "ff02::1"}) {
    EXPECT_FALSE(addresses.see_from_guest(udp(address, 1, "fec0::2", 2, "x"))) << address;
  }
  EXPECT_EQ(addresses.list(), Strings{});
}

TEST(GuestAddresses, KeepsABoundedNumber) {
  GuestAddresses addresses{MACAddress(kGuestMac)};
  for (int i = 1; i < 100; ++i) {
    addresses.see_from_guest(udp("10.0.2.15", 1, "10.0.2.2", 2, "x"));
    addresses.see_from_guest(udp("192.168.0." + std::to_string(i), 1, "10.0.2.2", 2, "x"));
  }
  EXPECT_EQ(addresses.list().size(), 8u);
  EXPECT_EQ(addresses.list()[0], "10.0.2.15");
}

TEST(Packet, SumsLikeTheStandardsExample) {
  const Frame example =
      Builder().u16(0x0001).u16(0xf203).u16(0xf4f5).u16(0xf6f7).frame;  // RFC 1071, section 3
  EXPECT_EQ(sum(example), 0xddf2);
  EXPECT_EQ(sum(Builder().raw(example).u8(0x12).frame), 0xeff2);
  EXPECT_EQ(sum(Builder().u16(0xffff).frame, 1), 1);
}

}  // namespace
}  // namespace alcove::network
