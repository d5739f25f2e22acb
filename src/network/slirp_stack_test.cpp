// With an uplink: what NatNetwork's tests don't reach, as the host has no other addresses that tests may use.
#include "network/slirp_stack.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "network/testing/frames.h"
#include "network/testing/host_socket.h"

namespace alcove::network {
namespace {

using namespace testing;

const std::string kGuest = "10.0.2.15";

// A host elsewhere, as far as the stack can tell.
struct Other : HostSocket {
  explicit Other(const char* own) : HostSocket(SOCK_DGRAM, own), address(own) {}
  void send_to(uint16_t to) const {
    const sockaddr_in where = at("127.0.0.1", to);
    EXPECT_EQ(sendto(fd.get(), "?", 1, 0, reinterpret_cast<const sockaddr*>(&where), sizeof where), 1);
  }
  std::string received(int flags = 0) const {
    char text[16];
    const ssize_t size = recv(fd.get(), text, sizeof text, flags);
    return size < 0 ? "" : std::string(text, static_cast<size_t>(size));
  }
  const std::string address;
};

TEST(SlirpStack, AForwardOfDatagramsIsNoWayOut) {
  if (!Uplink::check("lo")) GTEST_SKIP() << Uplink::check("lo").error().message();
  exec::LoopThread thread("net");
  Collector guest;
  std::unique_ptr<SlirpStack> stack;
  Result<PortForward> forward;
  const auto send = [&](const Frame& frame) {
    thread.loop().call([&] { stack->input(parse(frame).value(), frame); });
  };
  thread.loop().call([&] {
    stack = std::make_unique<SlirpStack>(thread.loop(), NatAddresses(), true, Uplink("lo", NatAddresses()),
                                         [&](Bytes frame) { guest.receive(frame, Checksums::right); });
    forward = stack->listen({.protocol = TransportProtocol::udp, .guest_port = 5353});
  });
  ASSERT_TRUE(forward) << forward.error().message();
  const Other caller("127.0.0.5"), stranger("127.0.0.6");
  send(arp_request(kGuest, "10.0.2.2"));
  caller.send_to(forward->host_port);
  const auto question = guest.wait([](Bytes frame) { return datagram(frame); });
  ASSERT_TRUE(question);
  EXPECT_EQ(question->source, caller.port);
  send(udp(kGuest, 5353, stranger.address, stranger.port, "unasked"));
  send(udp(kGuest, 5353, caller.address, caller.port, "answer"));
  EXPECT_EQ(caller.received(), "answer");
  EXPECT_EQ(stranger.received(MSG_DONTWAIT), "");
  // Without the forward the port is the guest's own.
  thread.loop().call([&] { EXPECT_TRUE(stack->unlisten(*forward)); });
  send(udp(kGuest, 5353, stranger.address, stranger.port, "asked"));
  EXPECT_EQ(stranger.received(), "asked");
  thread.loop().call([&] { stack.reset(); });
}

}  // namespace
}  // namespace alcove::network
