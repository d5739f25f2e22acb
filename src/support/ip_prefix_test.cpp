#include "support/ip_prefix.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace alcove {
namespace {

std::vector<std::byte> bytes(const std::string& text) {
  std::vector<std::byte> address(text.contains(':') ? 16 : 4);
  EXPECT_EQ(::inet_pton(text.contains(':') ? AF_INET6 : AF_INET, text.c_str(), address.data()), 1);
  return address;
}

TEST(IPPrefix, ContainsWhatBeginsLikeIt) {
  const auto ten = IPPrefix::parse("10.0.0.0/8"), odd = IPPrefix::parse("192.168.64.0/19"),
             one = IPPrefix::parse("1.1.1.1"), all = IPPrefix::parse("0.0.0.0/0");
  ASSERT_TRUE(ten && odd && one && all);
  EXPECT_TRUE(ten->contains(bytes("10.255.3.4")));
  EXPECT_FALSE(ten->contains(bytes("11.0.0.0")));
  EXPECT_TRUE(odd->contains(bytes("192.168.95.255")));
  EXPECT_FALSE(odd->contains(bytes("192.168.96.0")));
  EXPECT_FALSE(odd->contains(bytes("192.168.63.255")));
  EXPECT_TRUE(one->contains(bytes("1.1.1.1")));
  EXPECT_FALSE(one->contains(bytes("1.1.1.0")));
  EXPECT_TRUE(all->contains(bytes("255.255.255.255")));
  EXPECT_FALSE(all->contains(bytes("::")));
  const auto six = IPPrefix::parse("2001:db8::/33"), every = IPPrefix::parse("::/0");
  ASSERT_TRUE(six && every);
  EXPECT_TRUE(six->contains(bytes("2001:db8:7fff::1")));
  EXPECT_FALSE(six->contains(bytes("2001:db8:8000::1")));
  EXPECT_TRUE(every->contains(bytes("ff02::1")));
  EXPECT_FALSE(every->contains(bytes("10.0.0.1")));
}

TEST(IPPrefix, IsNothingElse) {
  for (const char* wrong : {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x", "10.0.0.1/8",
                            "10", "10.0.0.0.0", "::/129", "2001:db8::1/32", "any", "10.0.0.0/8/8"})
    EXPECT_FALSE(IPPrefix::parse(wrong)) << wrong;
}

}  // namespace
}  // namespace alcove
