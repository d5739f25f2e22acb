// Sockets of a machine, with the fake guest: its port 7 echoes, and it connects when it is told to.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <thread>

#include "client/test_machine.h"
#include "support/unique_fd.h"
#include "support/unix_address.h"

namespace alcove::client {
namespace {

class SocketDeviceTest : public MachineTest {
 protected:
  VirtualMachineConfiguration with_sockets(std::string behaviour = "",
                                           std::vector<UNIXSocketBridge> bridges = {}) const {
    VirtualMachineConfiguration result = configuration(std::move(behaviour));
    result.socket_devices = {VirtioSocketDeviceConfiguration{.guest_cid = 9, .bridges = std::move(bridges)}};
    return result;
  }
  static Result<VirtioSocketConnection> connect(VirtualMachine& machine, uint32_t port) {
    Outcome<VirtioSocketConnection> outcome;
    machine.socket_devices().at(0)->connect(port, outcome.completion());
    return outcome.get();
  }
  // All that comes until the other side has closed.
  static std::string read_all(int descriptor) {
    std::string text;
    char buffer[256];
    for (ssize_t count; (count = ::read(descriptor, buffer, sizeof buffer)) > 0;)
      text.append(buffer, static_cast<size_t>(count));
    return text;
  }
  static UniqueFd listen(const std::filesystem::path& path) {
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_TRUE(UnixAddress::of(path)->bind(socket.get()));
    EXPECT_EQ(::listen(socket.get(), 5), 0);
    return socket;
  }
  static UniqueFd connect_to(const std::filesystem::path& path) {
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_TRUE(UnixAddress::of(path)->connect(socket.get()));
    return socket;
  }
  // Whether the fake guest, which was told to connect_twice, stopped because its second connection was
  // refused.
  static bool second_is_refused(VirtualMachine& machine) { return machine.wait_until_stopped().has_value(); }
};

TEST_F(SocketDeviceTest, Connects) {
  auto machine = running(with_sockets());
  EXPECT_EQ(machine->socket_devices().at(0)->guest_cid(), 9u);
  auto connection = connect(*machine, 7);
  ASSERT_TRUE(connection) << connection.error().message();
  EXPECT_EQ(connection->source_port(), 0x40000000u);
  EXPECT_EQ(connection->destination_port(), 7u);
  ASSERT_EQ(::write(connection->file_descriptor(), "hello", 5), 5);
  ::shutdown(connection->file_descriptor(), SHUT_WR);
  EXPECT_EQ(read_all(connection->file_descriptor()), "hello");
  const int descriptor = connection->file_descriptor();
  connection->close();
  EXPECT_EQ(connection->file_descriptor(), -1);
  EXPECT_EQ(::fcntl(descriptor, F_GETFD), -1);
}

TEST_F(SocketDeviceTest, TellsWhyItDoesNotConnect) {
  auto machine = create(with_sockets());
  auto connection = connect(*machine, 7);
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().code, ErrorCode::invalid_virtual_machine_state);
  ASSERT_TRUE(start(*machine));
  connection = connect(*machine, 8);
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().code, ErrorCode::network_error);
  EXPECT_EQ(connection.error().where, "port 8");
}

TEST_F(SocketDeviceTest, AListenerAccepts) {
  auto machine = create(with_sockets("connect_soon"));
  VirtioSocketDevice& device = *machine->socket_devices().at(0);
  std::promise<VirtioSocketConnection> accepted;
  auto listener = std::make_shared<VirtioSocketListener>();
  listener->should_accept_new_connection = [&](VirtioSocketConnection& offered, VirtioSocketDevice& asking) {
    EXPECT_EQ(&asking, &device);
    accepted.set_value(std::move(offered));
    return true;
  };
  device.set_socket_listener(listener, 1024);
  ASSERT_TRUE(start(*machine));
  const auto connection = accepted.get_future().get();
  EXPECT_EQ(connection.source_port(), 5000u);
  EXPECT_EQ(connection.destination_port(), 1024u);
  EXPECT_EQ(read_all(connection.file_descriptor()), "connection 1");
}

TEST_F(SocketDeviceTest, AListenerRefuses) {
  auto machine = create(with_sockets("connect_twice"));
  VirtioSocketDevice& device = *machine->socket_devices().at(0);
  std::atomic<int> asked = 0;
  auto listener = std::make_shared<VirtioSocketListener>();
  listener->should_accept_new_connection = [&](VirtioSocketConnection& offered, VirtioSocketDevice&) {
    ++asked;
    return offered.destination_port() == 1024;
  };
  device.set_socket_listener(listener, 1024);
  device.set_socket_listener(listener, 1025);
  ASSERT_TRUE(start(*machine));
  EXPECT_TRUE(second_is_refused(*machine));
  EXPECT_EQ(asked, 2);
}

TEST_F(SocketDeviceTest, RefusesWhereNobodyListensAnyMore) {
  auto machine = create(with_sockets("connect_twice"));
  VirtioSocketDevice& device = *machine->socket_devices().at(0);
  auto listener = std::make_shared<VirtioSocketListener>();
  listener->should_accept_new_connection = [](VirtioSocketConnection&, VirtioSocketDevice&) { return true; };
  device.set_socket_listener(listener, 1025);
  device.remove_socket_listener(1025);
  device.remove_socket_listener(1026);
  device.set_socket_listener(std::make_shared<VirtioSocketListener>(), 1024);
  ASSERT_TRUE(start(*machine));
  EXPECT_TRUE(second_is_refused(*machine));
}

TEST_F(SocketDeviceTest, BridgesToTheHost) {
  const UniqueFd listener = listen(folder / "agent");
  auto machine = running(with_sockets("connect_twice", {{.port = 1024, .path = folder / "agent"},
                                                        {.port = 1025, .path = folder / "nobody"}}));
  const UniqueFd accepted(::accept(listener.get(), nullptr, nullptr));
  EXPECT_EQ(read_all(accepted.get()), "connection 1");
  EXPECT_TRUE(second_is_refused(*machine));
}

TEST_F(SocketDeviceTest, BridgesToTheGuest) {
  const auto path = folder / "echo";
  const UNIXSocketBridge echo{.direction = SocketBridgeDirection::to_guest, .port = 7, .path = path};
  const UNIXSocketBridge nobody{
      .direction = SocketBridgeDirection::to_guest, .port = 8, .path = folder / "nobody"};
  listen(folder / "nobody").reset();  // Outlived its program.
  auto machine = running(with_sockets("", {echo, nobody}));
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  const UniqueFd client = connect_to(path);
  ASSERT_EQ(::write(client.get(), "hello", 5), 5);
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(read_all(client.get()), "hello");
  EXPECT_EQ(read_all(connect_to(folder / "nobody").get()), "");
  ASSERT_TRUE(stop(*machine));
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_TRUE(start(*machine));
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST_F(SocketDeviceTest, TakesNoSocketOfOthers) {
  const UniqueFd used = listen(folder / "used");
  auto machine = create(
      with_sockets("", {{.direction = SocketBridgeDirection::to_guest, .port = 7, .path = folder / "used"}}));
  const auto started = start(*machine);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().where, "socket_devices[0].bridges[0].path");
  EXPECT_TRUE(std::filesystem::exists(folder / "used"));
}

TEST_F(SocketDeviceTest, KnowsWhenTheGuestIsUp) {
  auto machine = create(with_sockets("ready_soon"));
  std::promise<void> ready;
  const auto observation = machine->observe({.guest_did_become_ready = [&] { ready.set_value(); }});
  EXPECT_FALSE(machine->guest_is_ready());
  ASSERT_TRUE(start(*machine));
  ASSERT_EQ(ready.get_future().wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(machine->guest_is_ready());
  ASSERT_TRUE(stop(*machine));
  EXPECT_FALSE(machine->guest_is_ready());
}

TEST_F(SocketDeviceTest, KnowsThatAGuestIsUpAgainThatRebootedMeanwhile) {
  auto machine = create(with_sockets("ready_twice"));
  std::promise<void> rebooted;
  const auto observation = machine->observe({.guest_did_reboot = [&] { rebooted.set_value(); }});
  // Nothing is told while this takes.
  machine->start([](const Result<>&) { std::this_thread::sleep_for(std::chrono::milliseconds(500)); });
  ASSERT_EQ(rebooted.get_future().wait_for(kPatience), std::future_status::ready);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!machine->guest_is_ready() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(machine->guest_is_ready());
}

TEST_F(SocketDeviceTest, LeavesNoDescriptorBehind) {
  auto machine = running(with_sockets());
  const auto count = [] { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}); };
  const auto before = count();
  for (int round = 0; round < 50; ++round) {
    auto connection = connect(*machine, round % 2 ? 7 : 8);
    EXPECT_EQ(connection.has_value(), round % 2 == 1);
  }
  EXPECT_EQ(count(), before);
}

}  // namespace
}  // namespace alcove::client
