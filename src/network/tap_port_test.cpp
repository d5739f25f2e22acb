// A tap interface in a network namespace of its own: the test is the guest, and a socket in the namespace the
// host.
#include "network/tap_port.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "network/segmenter.h"
#include "network/testing/frames.h"

namespace alcove::network {
namespace {

using namespace testing;

constexpr int kPassed = 0, kFailed = 1, kNoTap = 2;
constexpr Mac kHostMac{0x02, 0, 0, 0, 0, 0x01};
const std::string kHost = "192.0.2.1", kGuest = "192.0.2.2";

#define REQUIRE(condition)                                                    \
  if (!(condition)) {                                                         \
    std::fprintf(stderr, "tap_port_test.cpp:%d: " #condition "\n", __LINE__); \
    return kFailed;                                                           \
  }

UniqueFd open_tap(int flags) {
  UniqueFd tap(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  ifreq request{};
  std::strcpy(request.ifr_name, "tap0");
  request.ifr_flags = static_cast<short>(flags);
  if (!tap || ioctl(tap.get(), TUNSETIFF, &request) != 0) tap.reset();
  return tap;
}

bool configure() {
  const UniqueFd control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto set = [&](unsigned long what, auto change) {
    ifreq request{};
    std::strcpy(request.ifr_name, "tap0");
    change(request);
    return ioctl(control.get(), what, &request) == 0;
  };
  const auto put = [](const std::string& text) {
    return [text](ifreq& request) {
      auto* address = reinterpret_cast<sockaddr_in*>(&request.ifr_addr);
      address->sin_family = AF_INET;
      inet_pton(AF_INET, text.c_str(), &address->sin_addr);
    };
  };
  return set(SIOCSIFHWADDR,
             [](ifreq& request) {
               request.ifr_hwaddr.sa_family = 1;
               std::copy(kHostMac.begin(), kHostMac.end(), request.ifr_hwaddr.sa_data);
             }) &&
         set(SIOCSIFADDR, put(kHost)) && set(SIOCSIFNETMASK, put("255.255.255.0")) &&
         set(SIOCSIFMTU, [](ifreq& request) { request.ifr_mtu = 1400; }) &&
         set(SIOCSIFFLAGS, [](ifreq& request) { request.ifr_flags = IFF_UP; });
}

// The next frame that is one of those wanted.
template <class Pick>
auto wait(TapPort& tap, Pick pick) -> std::invoke_result_t<Pick, Bytes> {
  for (int tries = 0; tries < 100; ++tries) {
    Bytes frame;
    const auto outcome = tap.receive(frame);
    if (outcome == FramePort::Outcome::done) {
      if (auto result = pick(frame)) return result;
    } else if (outcome == FramePort::Outcome::full) {
      pollfd ready{.fd = tap.descriptor(), .events = POLLIN, .revents = 0};
      if (poll(&ready, 1, 5000) <= 0) return {};
    } else {
      return {};
    }
  }
  return {};
}

int carry(bool with_header) {
  if (unshare((geteuid() == 0 ? 0 : CLONE_NEWUSER) | CLONE_NEWNET) != 0) return kNoTap;
  UniqueFd descriptor = open_tap(IFF_TAP | IFF_NO_PI | (with_header ? IFF_VNET_HDR : 0));
  if (!descriptor || !configure()) return kNoTap;
  auto tap = TapPort::create(std::move(descriptor), "file_handle");
  REQUIRE(tap && (*tap)->mtu() == 1400 && (*tap)->takes_large_segments() == with_header);

  // Who has the guest? The host asks, and is told.
  UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in here{.sin_family = AF_INET, .sin_port = htons(80)};
  REQUIRE(bind(listener.get(), reinterpret_cast<sockaddr*>(&here), sizeof here) == 0 &&
          listen(listener.get(), 1) == 0);
  const auto send = [&](Frame frame, size_t segment_size = 0) {
    std::ranges::copy(std::as_bytes(std::span(kHostMac)), frame.begin());
    return (*tap)->send(frame, segment_size);
  };
  REQUIRE(send(tcp(kGuest, kHost, {5000, 80, 100, 0, wire::kTcpSyn, ""})) == FramePort::Outcome::done);
  REQUIRE(wait(**tap, [](Bytes frame) { return load16(frame, wire::kEthernetType) == wire::kTypeArp; }));
  Frame reply = ethernet(wire::kTypeArp,
                         Builder()
                             .u16(1)
                             .u16(wire::kTypeIpv4)
                             .u8(6, 4)
                             .u16(2)
                             .mac(kGuestMac)
                             .ip(kGuest)
                             .mac(kHostMac)
                             .ip(kHost)
                             .frame,
                         kHostMac);
  REQUIRE(send(std::move(reply)) == FramePort::Outcome::done);
  const auto answer = wait(**tap, [](Bytes frame) { return tcp_segment(frame); });
  REQUIRE(answer && answer->flags == (wire::kTcpSyn | wire::kTcpAck));
  // A large segment, which the kernel takes as it is or which is cut before.
  const std::string data(20000, 'd');
  const Frame large = tcp(kGuest, kHost, {5000, 80, 101, answer->sequence + 1, wire::kTcpAck, data});
  if (with_header) {
    REQUIRE(send(large, 1360) == FramePort::Outcome::done);
  } else {
    REQUIRE(send(large, 1360) == FramePort::Outcome::lost);
    REQUIRE(cut_segments(large, 1360, 1400, [&](Bytes segment) { send({segment.begin(), segment.end()}); }));
  }
  const UniqueFd connection(accept(listener.get(), nullptr, nullptr));
  std::string got(data.size(), 0);
  const timeval limit{.tv_sec = 5};
  setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  REQUIRE(recv(connection.get(), got.data(), got.size(), MSG_WAITALL) == static_cast<ssize_t>(got.size()));
  REQUIRE(got == data);
  // What comes from the host's own connection is whole and summed up.
  REQUIRE(::send(connection.get(), "hello", 5, 0) == 5);
  REQUIRE(wait(**tap, [](Bytes frame) {
    const auto segment = tcp_segment(frame);
    return segment && segment->data == "hello" && has_right_tcp_checksums(frame);
  }));
  return kPassed;
}

int see_it_go() {
  if (unshare((geteuid() == 0 ? 0 : CLONE_NEWUSER) | CLONE_NEWNET) != 0) return kNoTap;
  UniqueFd descriptor = open_tap(IFF_TAP | IFF_NO_PI);
  if (!descriptor) return kNoTap;
  // It stays without whoever opened it, until it is taken away.
  REQUIRE(ioctl(descriptor.get(), TUNSETPERSIST, 1) == 0);
  UniqueFd other(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  auto tap = TapPort::create(std::move(descriptor), "file_handle");
  REQUIRE(tap);
  Bytes frame;
  REQUIRE((*tap)->receive(frame) == FramePort::Outcome::full);
  REQUIRE(std::system("ip link delete tap0") == 0);
  REQUIRE((*tap)->receive(frame) == FramePort::Outcome::closed);
  REQUIRE((*tap)->reason() == "the interface is gone");
  return kPassed;
}

int see_a_macvtap_go() {
  if (unshare((geteuid() == 0 ? 0 : CLONE_NEWUSER) | CLONE_NEWNET) != 0) return kNoTap;
  // /dev is the same in all network namespaces: by a number that no other has.
  const int index = 100'000 + getpid() % 100'000;
  const std::string make = fmt::format(
      "exec 2>/dev/null; ip link add v0 type veth peer name v1 && "
      "ip link add link v0 name mac0 index {} type macvtap && ip link set v0 up && ip link set mac0 up",
      index);
  if (std::system(make.c_str()) != 0) return kNoTap;
  UniqueFd descriptor(open(fmt::format("/dev/tap{}", index).c_str(), O_RDWR | O_CLOEXEC));
  if (!descriptor) return kNoTap;
  auto tap = TapPort::create(std::move(descriptor), "file_handle");
  REQUIRE(tap && (*tap)->is_to_be_checked());
  const Frame frame = udp(kGuest, 1, kHost, 2, "x");
  REQUIRE((*tap)->send(frame, 0) == FramePort::Outcome::done);
  REQUIRE((*tap)->check() == FramePort::Outcome::done);
  REQUIRE(std::system("ip link delete mac0") == 0);
  REQUIRE((*tap)->check() == FramePort::Outcome::closed && (*tap)->reason() == "the interface is gone");
  return kPassed;
}

template <class Function>
void in_a_process(Function function) {
  const pid_t child = fork();
  if (child == 0) _exit(function());
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNoTap) GTEST_SKIP() << "this host gives no tap interface to test with";
  EXPECT_EQ(WEXITSTATUS(status), kPassed);
}

TEST(TapPort, CarriesFramesWithAHeader) {
  in_a_process([] { return carry(true); });
}
TEST(TapPort, CarriesFramesWithoutAHeader) {
  in_a_process([] { return carry(false); });
}
TEST(TapPort, SeesItsInterfaceGo) {
  if (std::system("command -v ip >/dev/null") != 0) GTEST_SKIP() << "there is no ip (package iproute2)";
  in_a_process(see_it_go);
}

TEST(TapPort, SeesItsMacvtapInterfaceGo) {
  in_a_process(see_a_macvtap_go);
}

TEST(TapPort, RefusesOtherDescriptors) {
  const auto refusal = TapPort::create(UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC)), "file_handle");
  ASSERT_FALSE(refusal);
  EXPECT_EQ(refusal.error().where, "file_handle");
}

}  // namespace
}  // namespace alcove::network
