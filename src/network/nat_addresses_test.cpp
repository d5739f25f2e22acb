#include "network/nat_addresses.h"

#include <gtest/gtest.h>

#include "network/shared_addresses.h"

namespace alcove::network {
namespace {

TEST(NatAddresses, AreTheUsualWithoutWishes) {
  const NatAddresses usual = with_wishes({}, {});
  EXPECT_EQ(subnet_text(usual), "10.0.2.0/24");
  EXPECT_EQ(prefix_text(usual), "fec0::/64");
  EXPECT_EQ(address_text(usual.guest), "10.0.2.15");
  EXPECT_EQ(usual.mtu, 1500);
}

TEST(NatAddresses, AreWhatIsWishedFor) {
  const NatAddresses wished = with_wishes({}, {.ipv4_subnet = "192.168.0.0/17",
                                               .ipv6_prefix = "fd00:1:2:3::/64",
                                               .ipv4_address = "192.168.77.5",
                                               .maximum_transmission_unit = 9000});
  EXPECT_EQ(subnet_text(wished), "192.168.0.0/17");
  EXPECT_EQ(prefix_text(wished), "fd00:1:2:3::/64");
  EXPECT_EQ(address_text(wished.guest), "192.168.77.5");
  EXPECT_EQ(address_text(wished.host()), "192.168.0.2");
  EXPECT_EQ(address_text(wished.name_server()), "192.168.0.3");
  EXPECT_EQ(address_text(wished.broadcast()), "192.168.127.255");
  EXPECT_EQ(wished.mtu, 9000);
  EXPECT_EQ(address_text(with_wishes({}, {.ipv4_subnet = "172.16.0.16/28"}).guest), "172.16.0.20");
  EXPECT_EQ(address_text(with_wishes({}, {.ipv4_subnet = "172.16.0.32/27"}).guest), "172.16.0.47");
}

TEST(NatAddresses, OfGuestsAreNoOthers) {
  for (const char* no : {"10.0.2.0", "10.0.2.2", "10.0.2.3", "10.0.2.255", "10.0.3.4"})
    EXPECT_FALSE(NatAddresses().is_guests(address_from_text(no).value())) << no;
  for (const char* yes : {"10.0.2.1", "10.0.2.4", "10.0.2.254"})
    EXPECT_TRUE(NatAddresses().is_guests(address_from_text(yes).value())) << yes;
  for (const char* no : {"", "10.0.2", "10.0.2.0/24", "::1", "x"}) EXPECT_FALSE(address_from_text(no)) << no;
}

// All that there is room for get an address, each another, and then none.
TEST(NatAddresses, OfMembersFillASubnet) {
  for (const char* subnet : {"10.9.0.0/28", "10.9.0.128/25", "10.9.1.0/24", "10.9.2.0/23"}) {
    const NatAddresses network = with_wishes(shared_addresses("lab"), {.ipv4_subnet = subnet});
    std::set<uint32_t> taken;
    while (const uint32_t address = member_address(network, MACAddress({2, 0, 0, 0, 0, 7}), taken)) {
      ASSERT_TRUE(network.is_guests(address)) << address_text(address);
      ASSERT_TRUE(taken.insert(address).second);
    }
    EXPECT_GE(taken.size(), (~network.mask + 1) * 2 / 3) << subnet;
  }
}

}  // namespace
}  // namespace alcove::network
