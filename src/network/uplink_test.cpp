#include "network/uplink.h"

#include <gtest/gtest.h>
#include <net/if.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

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

TEST_F(UplinkTest, AnswersAloneLeaveByAForward) {
  const PortForward forward{
      .protocol = TransportProtocol::udp, .host_address = "0.0.0.0", .guest_port = 5353};
  PortForward named = forward, six = forward;
  named.guest_address = "10.0.2.20";
  six.guest_address = kGuest6;
  uplink->add_forward(forward);
  uplink->add_forward(forward);
  for (const PortForward& other : {named, six}) uplink->add_forward(other);
  const auto sent_by = [](const std::string& guest, unsigned port) {
    return udp(guest, 5353, guest == kGuest6 ? "2001:db8::9" : "192.0.2.9", port, "x");
  };
  for (const std::string& guest : {kGuest, kGuest6, named.guest_address}) {
    EXPECT_FALSE(may_send(sent_by(guest, 700))) << guest;
    EXPECT_TRUE(may_send(udp(guest, 5353, guest == kGuest6 ? "fec0::2" : "10.0.2.2", 700, "x"))) << guest;
    uplink->see_to_guest(udp(guest == kGuest6 ? "2001:db8::9" : "192.0.2.9", 700, guest, 5353, "x"));
    EXPECT_TRUE(may_send(sent_by(guest, 700))) << guest;
    EXPECT_FALSE(may_send(sent_by(guest, 701))) << guest;
  }
  EXPECT_FALSE(may_send(udp(kGuest, 5353, "192.0.2.8", 700, "x")));
  EXPECT_TRUE(may_send(udp(kGuest, 5354, "192.0.2.8", 700, "x")));
  EXPECT_TRUE(may_send(udp("10.0.2.21", 5353, "192.0.2.8", 700, "x")));
  // The first part of a long one says who writes; another says nothing of ports.
  Frame part = udp("192.0.2.7", 700, kGuest, 5353, std::string(100, 'x'));
  for (const auto& [offset, is_known] : {std::pair(uint16_t{0x2001}, false), {uint16_t{0x2000}, true}}) {
    store16(part, wire::kEthernetSize + wire::kIpv4Fragment, offset);
    uplink->see_to_guest(part);
    EXPECT_EQ(may_send(udp(kGuest, 5353, "192.0.2.7", 700, "x")), is_known);
  }
  uplink->remove_forward(forward);
  EXPECT_FALSE(may_send(udp(kGuest, 5353, "192.0.2.8", 700, "x"))) << "there is another";
  uplink->remove_forward(forward);
  EXPECT_TRUE(may_send(udp(kGuest, 5353, "192.0.2.8", 700, "x")));
  uplink->add_forward(forward);
  EXPECT_FALSE(may_send(sent_by(kGuest, 700))) << "nobody wrote to this one";
}

TEST_F(UplinkTest, NeedsNoDescriptorToLeadNowhere) {
  uplink.emplace("nosuch0", NatAddresses());
  const Frame outward = udp(kGuest, 1000, "192.0.2.1", 53, "x");
  ASSERT_TRUE(uplink->begin(parse(outward).value()));
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit low{.rlim_cur = 64, .rlim_max = before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &low);
  const UniqueFd socket = new_socket();
  std::vector<UniqueFd> others;
  while (UniqueFd other{::dup(socket.get())}) others.push_back(std::move(other));
  uplink->opened(socket.get());
  setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_TRUE(socket);
  EXPECT_EQ(domain_of(socket), AF_UNIX);
  others.clear();
  // Where there never was one, nothing leaves.
  uplink.reset();
  setrlimit(RLIMIT_NOFILE, &low);
  while (UniqueFd other{::dup(socket.get())}) others.push_back(std::move(other));
  uplink.emplace("lo", NatAddresses());
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_FALSE(may_send(outward));
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
