// Name service through the NAT follows the host's /etc/resolv.conf. Runs in namespaces of its own, where that
// file and the name servers' port may be had.
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "network/nat_network.h"
#include "network/testing/frames.h"

namespace alcove::network {
namespace {

using namespace testing;
using namespace std::chrono_literals;

constexpr int kPassed = 0, kFailed = 1, kNoNamespace = 2;

bool enter_namespaces() {
  const int user = geteuid() == 0 ? 0 : CLONE_NEWUSER;
  if (unshare(user | CLONE_NEWNS | CLONE_NEWNET) != 0) return false;
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  UniqueFd control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq loopback{.ifr_ifrn = {.ifrn_name = "lo"}, .ifr_ifru = {.ifru_flags = IFF_UP}};
  return ioctl(control.get(), SIOCSIFFLAGS, &loopback) == 0;
}

UniqueFd name_server(const char* address) {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const timeval limit{.tv_sec = 5};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  sockaddr_in at{.sin_family = AF_INET, .sin_port = htons(53)};
  inet_pton(AF_INET, address, &at.sin_addr);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) fd.reset();
  return fd;
}

int follow_the_host() {
  char path[] = "/tmp/alcove-resolv-XXXXXX";
  UniqueFd file(mkstemp(path));
  const auto choose = [&](const char* server) { std::ofstream(path) << "nameserver " << server << "\n"; };
  choose("127.0.0.1");
  const bool mounted = enter_namespaces() && mount(path, "/etc/resolv.conf", nullptr, MS_BIND, nullptr) == 0;
  const UniqueFd first = name_server("127.0.0.1"), second = name_server("127.0.0.2");
  int result = mounted && first && second ? kPassed : kNoNamespace;
  if (result == kPassed) {
    exec::LoopThread thread("net");
    auto network = NatNetwork::create(thread.loop(), {.mac_address = MACAddress(kGuestMac)}).value();
    const auto ask = [&](const UniqueFd& server) {
      thread.loop().call([&] { network->transmit(udp("10.0.2.15", 4000, "10.0.2.3", 53, "name?"), 0); });
      char question[16];
      return recv(server.get(), question, sizeof question, 0) == 5;
    };
    if (!ask(first)) result = kFailed;
    choose("127.0.0.2   # another length");
    std::this_thread::sleep_for(1200ms);  // libslirp looks once a second.
    if (!ask(second)) result = kFailed;
  }
  unlink(path);
  return result;
}

TEST(NameServer, FollowsTheHosts) {
  const pid_t child = fork();
  if (child == 0) _exit(follow_the_host());
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNoNamespace) GTEST_SKIP() << "this host gives no namespaces to test in";
  EXPECT_EQ(WEXITSTATUS(status), kPassed);
}

}  // namespace
}  // namespace alcove::network
