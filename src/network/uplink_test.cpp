#include "network/uplink.h"

#include <gtest/gtest.h>
#include <net/if.h>
#include <sys/socket.h>

#include "network/testing/frames.h"
#include "support/unique_fd.h"

namespace alcove::network {
namespace {

using namespace testing;

const std::string kGuest = "10.0.2.15", kGuest6 = "fec0::15";

UniqueFd new_socket() {
  return UniqueFd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}
std::string interface_of(const UniqueFd& socket) {
  char name[IFNAMSIZ] = {};
  socklen_t size = sizeof name;
  return ::getsockopt(socket.get(), SOL_SOCKET, SO_BINDTODEVICE, name, &size) == 0 ? name : "none";
}
int domain_of(const UniqueFd& socket) {
  int domain = 0;
  socklen_t size = sizeof domain;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_DOMAIN, &domain, &size);
  return domain;
}

struct UplinkTest : ::testing::Test {
  // The socket that this frame opened; none where it may not be sent.
  UniqueFd sent(const Frame& frame) {
    if (!uplink->begin(parse(frame).value())) return {};
    UniqueFd socket = new_socket();
    uplink->opened(socket.get());
    uplink->end();
    return socket;
  }
  bool may_send(const Frame& frame) {
    const bool may = uplink->begin(parse(frame).value());
    uplink->end();
    return may;
  }
  std::optional<Uplink> uplink{std::in_place, "lo", NatAddresses()};
};

TEST_F(UplinkTest, BindsWhatIsForOthers) {
  if (!Uplink::check("lo")) GTEST_SKIP() << Uplink::check("lo").error().message();
  for (const char* to : {"192.0.2.1", "10.0.2.9", "224.0.0.251"})
    EXPECT_EQ(interface_of(sent(udp(kGuest, 1000, to, 53, "x"))), "lo") << to;
  for (const char* to : {"2001:db8::1", "ff02::fb", "ff02::1:2", "ff02::101", "ff05::1"})
    EXPECT_EQ(interface_of(sent(udp(kGuest6, 1000, to, 53, "x"))), "lo") << to;
  for (const char* to : {"10.0.2.2", "10.0.2.3", "255.255.255.255"})
    EXPECT_EQ(interface_of(sent(udp(kGuest, 2000, to, 53, "x"))), "") << to;
  for (const char* to : {"fec0::2", "fec0::3", "ff02::1"})
    EXPECT_EQ(interface_of(sent(udp(kGuest6, 2000, to, 53, "x"))), "") << to;
  EXPECT_EQ(interface_of(sent(tcp(kGuest, "192.0.2.1", {.source = 1, .destination = 2}))), "lo");
  // A port forward's.
  const UniqueFd other = new_socket();
  uplink->opened(other.get());
  EXPECT_EQ(interface_of(other), "");
}

TEST_F(UplinkTest, KeepsAPortToOneSide) {
  const UniqueFd inner = sent(udp(kGuest, 1000, "10.0.2.3", 53, "x"));
  ASSERT_TRUE(inner);
  EXPECT_FALSE(may_send(udp(kGuest, 1000, "192.0.2.1", 53, "x")));
  EXPECT_TRUE(may_send(udp(kGuest, 1000, "10.0.2.2", 53, "x")));
  EXPECT_TRUE(may_send(udp(kGuest, 1001, "192.0.2.1", 53, "x")));
  EXPECT_TRUE(may_send(tcp(kGuest, "192.0.2.1", {.source = 1000, .destination = 2})));
  uplink->closed(inner.get());
  const UniqueFd outer = sent(udp(kGuest, 1000, "192.0.2.1", 53, "x"));
  ASSERT_TRUE(outer);
  EXPECT_FALSE(may_send(udp(kGuest, 1000, "10.0.2.3", 53, "x")));
}

TEST_F(UplinkTest, TakesAForwardsSocketForNoneOfARefusedPacket) {
  if (!Uplink::check("lo")) GTEST_SKIP() << Uplink::check("lo").error().message();
  const UniqueFd inner = sent(udp(kGuest, 1000, "10.0.2.3", 53, "x"));
  const Frame outward = udp(kGuest, 1000, "192.0.2.1", 53, "x");
  ASSERT_FALSE(uplink->begin(parse(outward).value()));
  const UniqueFd accepted = new_socket();
  uplink->opened(accepted.get());
  EXPECT_EQ(interface_of(accepted), "");
  // Nor has the port changed sides.
  EXPECT_TRUE(may_send(udp(kGuest, 1000, "10.0.2.2", 53, "x")));
}

TEST_F(UplinkTest, SendsNothingByAnotherWay) {
  EXPECT_FALSE(Uplink::check("nosuch0"));
  uplink.emplace("nosuch0", NatAddresses());
  EXPECT_EQ(domain_of(sent(udp(kGuest, 1000, "192.0.2.1", 53, "x"))), AF_UNIX);
  // Of the part of a datagram nobody knows the port.
  Frame part = udp(kGuest, 1000, "192.0.2.1", 53, "x");
  store16(part, wire::kEthernetSize + wire::kIpv4Fragment, 0x2000);
  EXPECT_FALSE(may_send(part));
}

}  // namespace
}  // namespace alcove::network
