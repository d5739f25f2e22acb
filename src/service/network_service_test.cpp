// The process of a shared network, in a thread: the test is the machines.
#include "service/network_service.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "control/network_messages.h"
#include "network/shared_addresses.h"
#include "network/testing/frames.h"
#include "support/testing/temporary_folder.h"
#include "support/unix_address.h"

namespace alcove::service {
namespace {

using network::testing::Frame;
using network::testing::Mac;

constexpr Mac kMacA{2, 0, 0, 0, 0, 0xa}, kMacB{2, 0, 0, 0, 0, 0xb};

class NetworkServiceTest : public testing::Test {
 protected:
  NetworkServiceTest() {
    UniqueFd listener(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    EXPECT_TRUE(address.bind(listener.get()));
    EXPECT_EQ(listen(listener.get(), 8), 0);
    thread = std::thread([listener = std::move(listener)]() mutable {
      NetworkService("lab", std::move(listener), std::chrono::milliseconds(300)).run();
    });
  }
  ~NetworkServiceTest() override { thread.join(); }

  UniqueFd connected() {
    UniqueFd result(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    const timeval limit{.tv_sec = 5};
    setsockopt(result.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    EXPECT_TRUE(address.connect(result.get()));
    return result;
  }
  static std::string receive(const UniqueFd& from) {
    std::string text(70000, 0);
    const ssize_t size = recv(from.get(), text.data(), text.size(), 0);
    text.resize(size > 0 ? static_cast<size_t>(size) : 0);
    return text;
  }
  static std::string ask(const UniqueFd& at, const std::string& text) {
    EXPECT_EQ(send(at.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    return receive(at);
  }
  static std::string join_text(const Mac& mac, const std::string& name, const std::string& network = "lab",
                               const PrivateNetwork& wishes = {}) {
    return config::print_json(control::to_json(control::JoinRequest{.network = network,
                                                                    .mac_address = MACAddress(mac),
                                                                    .host_name = name,
                                                                    .reaches_peers = true,
                                                                    .wishes = wishes}));
  }
  // A member that is gone is seen to be so, some time.
  bool eventually_has(size_t members) {
    for (int tries = 0; tries < 500; ++tries) {
      const auto tree = config::parse_json(ask(connected(), R"({"request": "list"})"), "");
      if (tree && control::shared_network_from_json(*tree).members.size() == members) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }

  const TemporaryFolder temporary;
  const std::filesystem::path path = temporary.path() / "lab.sock";
  const UnixAddress address = *UnixAddress::of(path);
  std::thread thread;
};

TEST_F(NetworkServiceTest, LetsMachinesJoinAndPassesFrames) {
  UniqueFd a = connected(), b = connected();
  const auto of_a = control::addresses_from_text(ask(a, join_text(kMacA, "alpha")));
  const auto of_b = control::addresses_from_text(ask(b, join_text(kMacB, "beta")));
  ASSERT_TRUE(of_a && of_b);
  EXPECT_EQ(of_a->host_name, "alpha");
  EXPECT_EQ(of_a->domain, "lab.internal");
  EXPECT_EQ(of_a->prefix, network::shared_addresses("lab").prefix);
  EXPECT_NE(of_a->guest, of_b->guest);
  Frame frame = network::testing::udp(network::address_text(of_a->guest), 1,
                                      network::address_text(of_b->guest), 2, "x");
  std::ranges::copy(std::as_bytes(std::span(kMacB)), frame.begin());
  std::ranges::copy(std::as_bytes(std::span(kMacA)), frame.begin() + 6);
  ASSERT_EQ(send(a.get(), frame.data(), frame.size(), 0), static_cast<ssize_t>(frame.size()));
  const std::string got = receive(b);
  EXPECT_TRUE(std::ranges::equal(std::as_bytes(std::span(got)), frame));

  const auto tree = config::parse_json(ask(connected(), R"({"request": "list"})"), "");
  ASSERT_TRUE(tree);
  const SharedNetwork listed = control::shared_network_from_json(*tree);
  ASSERT_EQ(listed.members.size(), 2u);
  EXPECT_EQ(listed.members[0].host_name, "alpha");
  EXPECT_EQ(listed.members[1].address, network::address_text(of_b->guest));
  // The same names again once they are gone.
  a.reset();
  EXPECT_TRUE(eventually_has(1));
  a = connected();
  EXPECT_TRUE(control::addresses_from_text(ask(a, join_text(kMacA, "alpha"))));
}

TEST_F(NetworkServiceTest, RefusesWithAReason) {
  const UniqueFd first = connected();
  ASSERT_TRUE(control::addresses_from_text(ask(first, join_text(kMacA, "alpha"))));
  const auto refusal = [&](const std::string& text) {
    const auto answer = control::addresses_from_text(ask(connected(), text));
    return answer ? "" : answer.error().where + ": " + answer.error().what;
  };
  EXPECT_EQ(refusal(join_text(kMacA, "other")), "mac_address: 02:00:00:00:00:0a is on the network already");
  EXPECT_EQ(refusal(join_text(kMacB, "Alpha")), "attachment.host_name: \"Alpha\" is on the network already");
  EXPECT_NE(refusal(join_text(kMacB, "b", "work")), "");
  EXPECT_NE(refusal(R"({"request": "join"})"), "");
  EXPECT_EQ(ask(connected(), "nonsense"), "");
  EXPECT_TRUE(eventually_has(1));
}

TEST_F(NetworkServiceTest, IsAsTheFirstMachineWants) {
  const PrivateNetwork wishes{.ipv4_subnet = "10.9.0.0/24",
                              .ipv6_prefix = "fd00:9::/64",
                              .ipv4_address = "10.9.0.77",
                              .maximum_transmission_unit = 4000};
  UniqueFd first = connected();
  const auto of_first = control::addresses_from_text(ask(first, join_text(kMacA, "alpha", "lab", wishes)));
  ASSERT_TRUE(of_first);
  EXPECT_EQ(network::address_text(of_first->guest), "10.9.0.77");
  EXPECT_EQ(network::subnet_text(*of_first), "10.9.0.0/24");
  EXPECT_EQ(network::prefix_text(*of_first), "fd00:9::/64");
  EXPECT_EQ(of_first->mtu, 4000);
  const auto refusal = [&](const PrivateNetwork& wish) {
    const auto answer = control::addresses_from_text(ask(connected(), join_text(kMacB, "beta", "lab", wish)));
    return answer ? "" : answer.error().where;
  };
  EXPECT_EQ(refusal({.ipv4_subnet = "10.9.0.0/16"}), "attachment.network.ipv4_subnet");
  EXPECT_EQ(refusal({.ipv6_prefix = "fd00:8::/64"}), "attachment.network.ipv6_prefix");
  EXPECT_EQ(refusal({.ipv4_address = "10.9.0.77"}), "attachment.network.ipv4_address");
  EXPECT_EQ(refusal({.ipv4_address = "10.9.1.1"}), "attachment.network.ipv4_address");
  EXPECT_EQ(refusal({.maximum_transmission_unit = 1500}), "attachment.network.maximum_transmission_unit");
  UniqueFd second = connected();
  const auto of_second = control::addresses_from_text(ask(second, join_text(kMacB, "beta")));
  ASSERT_TRUE(of_second);
  EXPECT_EQ(network::subnet_text(*of_second), "10.9.0.0/24");
  EXPECT_EQ(of_second->mtu, 4000);
  const auto tree = config::parse_json(ask(connected(), R"({"request": "list"})"), "");
  ASSERT_TRUE(tree);
  const SharedNetwork listed = control::shared_network_from_json(*tree);
  EXPECT_EQ(listed.ipv6_prefix, "fd00:9::/64");
  EXPECT_EQ(listed.maximum_transmission_unit, 4000u);
  // Once all are gone the next is the first.
  first.reset();
  second.reset();
  EXPECT_TRUE(eventually_has(0));
  first = connected();
  const auto anew = control::addresses_from_text(ask(first, join_text(kMacA, "alpha")));
  ASSERT_TRUE(anew);
  EXPECT_EQ(network::subnet_text(*anew), network::subnet_text(network::shared_addresses("lab")));
}

TEST_F(NetworkServiceTest, EndsOnceNobodyIsThere) {
  const UniqueFd waiting = connected();  // Has not asked, and does not hold it up.
  {
    const UniqueFd gone = connected();
  }
  thread.join();
  EXPECT_FALSE(std::filesystem::exists(path));
  thread = std::thread([] {});
}

}  // namespace
}  // namespace alcove::service
