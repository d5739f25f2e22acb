#include "devices/vsock/vsock.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>
#include <future>
#include <set>
#include <thread>

#include "devices/vsock/testing/socket_guest.h"
#include "spec/virtio.h"

namespace alcove::devices::vsock {
namespace {

using namespace std::chrono_literals;
using testing::kCid;
using testing::kGuestRoom;
using testing::Pair;
using testing::Received;
using testing::SocketGuest;

constexpr uint32_t kPort = 1024;

class VsockTest : public ::testing::Test {
 protected:
  // The guest connects to a port, and is given one end of a pair; gives the other.
  UniqueFd accept(Ports ports) {
    guest->send(Operation::request, ports);
    Pair pair;
    EXPECT_TRUE(answer(await_asked(), std::move(pair.device)));
    EXPECT_EQ(expect(Operation::response, ports).header.buffer_size, kLargeRoom);
    return std::move(pair.host);
  }
  uint64_t await_asked() {
    EXPECT_TRUE(guest->guest().interrupts().wait([&] {
      const std::lock_guard lock(mutex);
      return !asked.empty();
    }));
    const std::lock_guard lock(mutex);
    const uint64_t id = asked.front();
    asked.pop_front();
    return id;
  }
  Result<> answer(uint64_t id, UniqueFd socket) {
    std::promise<Result<>> promise;
    device.answer(id, std::move(socket), [&](Result<> result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }
  std::future<Result<uint32_t>> connect(uint32_t port, UniqueFd socket,
                                        std::chrono::milliseconds limit = 10s) {
    auto promise = std::make_shared<std::promise<Result<uint32_t>>>();
    device.connect(port, std::move(socket), limit,
                   [promise](Result<uint32_t> result) { promise->set_value(std::move(result)); });
    return promise->get_future();
  }
  // The next packet is that.
  Received expect(Operation operation, Ports ports) {
    const auto packet = guest->next();
    EXPECT_TRUE(packet) << "no packet came";
    if (!packet) return {};
    EXPECT_EQ(packet->operation(), operation);
    EXPECT_EQ(packet->header.source_cid, wire::kHostCid);
    EXPECT_EQ(packet->header.destination_cid, kCid);
    EXPECT_EQ(packet->header.source_port, ports.host);
    EXPECT_EQ(packet->header.destination_port, ports.guest);
    EXPECT_EQ(packet->header.length, packet->payload.size());
    return *packet;
  }
  static void write(const UniqueFd& socket, std::string_view text) {
    EXPECT_EQ(::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  static std::string read(const UniqueFd& socket, size_t size) {
    std::string text(size, '\0');
    const ssize_t count = ::recv(socket.get(), text.data(), size, MSG_WAITALL);
    text.resize(static_cast<size_t>(std::max<ssize_t>(count, 0)));
    return text;
  }
  bool wait_for_connections(size_t count) {
    return guest->guest().interrupts().wait([&] { return device.connection_count() == count; });
  }
  // The guest's credit is used up, or the socket is empty.
  std::string read_packets(Ports ports, size_t size) {
    std::string all;
    while (all.size() < size) {
      const Received packet = expect(Operation::data, ports);
      if (packet.payload.empty()) break;
      all += packet.payload;
    }
    return all;
  }

  std::mutex mutex;
  std::deque<uint64_t> asked;
  Vsock device{kCid, [this](uint64_t id, Ports) {
                 const std::lock_guard lock(mutex);
                 asked.push_back(id);
               }};
  std::optional<SocketGuest> guest{std::in_place, device};
};

TEST_F(VsockTest, TellsTheGuestItsCid) {
  uint64_t cid = 0;
  device.read_config(0, std::as_writable_bytes(std::span(&cid, 1)));
  EXPECT_EQ(cid, kCid);
  uint32_t upper = 1;
  device.read_config(4, std::as_writable_bytes(std::span(&upper, 1)));
  EXPECT_EQ(upper, 0u);
  EXPECT_EQ(device.device_id(), spec::virtio::kSocketDevice);
  EXPECT_EQ(device.queue_sizes().size(), 3u);
}

TEST_F(VsockTest, GuestConnectsAndBothSpeak) {
  const Ports ports{5000, kPort};
  const UniqueFd host = accept(ports);
  guest->send(Operation::data, ports, "from the guest");
  EXPECT_EQ(read(host, 14), "from the guest");
  write(host, "from the host");
  EXPECT_EQ(expect(Operation::data, ports).payload, "from the host");
  EXPECT_EQ(device.connection_count(), 1u);
}

TEST_F(VsockTest, HostConnectsAndBothSpeak) {
  Pair pair;
  auto connected = connect(22, std::move(pair.device));
  const auto request = guest->next();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->operation(), Operation::request);
  EXPECT_EQ(request->header.destination_port, 22u);
  EXPECT_GE(request->header.source_port, 0x40000000u);
  const Ports ports{22, request->header.source_port};
  guest->send(Operation::response, ports);
  const auto port = connected.get();
  ASSERT_TRUE(port);
  EXPECT_EQ(*port, ports.host);
  write(pair.host, "hello");
  EXPECT_EQ(expect(Operation::data, ports).payload, "hello");
  guest->send(Operation::data, ports, "world");
  EXPECT_EQ(read(pair.host, 5), "world");
}

TEST_F(VsockTest, TellsThatNobodyListens) {
  Pair pair;
  auto connected = connect(22, std::move(pair.device));
  const auto request = guest->next();
  ASSERT_TRUE(request);
  guest->send(Operation::reset, {22, request->header.source_port});
  const auto refused = connected.get();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::network_error);
  EXPECT_EQ(read(pair.host, 1), "");
  EXPECT_EQ(device.connection_count(), 0u);
}

TEST_F(VsockTest, DoesNotWaitForEverForAnAnswer) {
  Pair pair;
  auto connected = connect(22, std::move(pair.device), 20ms);
  const auto request = guest->next();
  ASSERT_TRUE(request);
  EXPECT_FALSE(connected.get());
  expect(Operation::reset, {22, request->header.source_port});
  // Too late.
  guest->send(Operation::response, {22, request->header.source_port});
  expect(Operation::reset, {22, request->header.source_port});
}

TEST_F(VsockTest, TellsThatThereIsNoDriver) {
  guest.reset();
  Pair pair;
  EXPECT_FALSE(connect(22, std::move(pair.device)).get());
  EXPECT_FALSE(answer(1, {}));
}

TEST_F(VsockTest, RefusesWhomTheHostDoesNotWant) {
  guest->send(Operation::request, {5000, kPort});
  EXPECT_TRUE(answer(await_asked(), {}));
  expect(Operation::reset, {5000, kPort});
  EXPECT_EQ(device.connection_count(), 0u);
}

TEST_F(VsockTest, KnowsWhenTheGuestGaveUp) {
  guest->send(Operation::request, {5000, kPort});
  const uint64_t id = await_asked();
  guest->send(Operation::reset, {5000, kPort});
  Pair pair;
  EXPECT_FALSE(answer(id, std::move(pair.device)));
  EXPECT_EQ(read(pair.host, 1), "");
  EXPECT_FALSE(answer(12345, {}));
  EXPECT_TRUE(guest->is_silent());
}

TEST_F(VsockTest, HostCloses) {
  const Ports ports{5000, kPort};
  UniqueFd host = accept(ports);
  write(host, "last words");
  host.reset();
  EXPECT_EQ(expect(Operation::data, ports).payload, "last words");
  EXPECT_EQ(expect(Operation::shutdown, ports).header.flags, wire::kShutdownBoth);
  EXPECT_EQ(device.connection_count(), 1u);
  // What was under way is of no interest any more.
  guest->send(Operation::data, ports, "too late");
  guest->send(Operation::reset, ports);
  EXPECT_EQ(device.connection_count(), 0u);
  EXPECT_TRUE(guest->is_silent());
}

TEST_F(VsockTest, GuestCloses) {
  const Ports ports{5000, kPort};
  const UniqueFd host = accept(ports);
  guest->send(Operation::data, ports, "last words");
  guest->send(Operation::shutdown, ports, {}, wire::kShutdownBoth);
  expect(Operation::reset, ports);
  EXPECT_EQ(read(host, 100), "last words");
  EXPECT_EQ(device.connection_count(), 0u);
}

TEST_F(VsockTest, HostClosesHalf) {
  const Ports ports{5000, kPort};
  const UniqueFd host = accept(ports);
  ::shutdown(host.get(), SHUT_WR);
  EXPECT_EQ(expect(Operation::shutdown, ports).header.flags, wire::kShutdownSend);
  guest->send(Operation::data, ports, "still heard");
  EXPECT_EQ(read(host, 11), "still heard");
  guest->send(Operation::shutdown, ports, {}, wire::kShutdownSend);
  EXPECT_EQ(read(host, 1), "");
  // Both have ended.
  EXPECT_EQ(expect(Operation::shutdown, ports).header.flags, wire::kShutdownBoth);
  guest->send(Operation::reset, ports);
  EXPECT_EQ(device.connection_count(), 0u);
}

TEST_F(VsockTest, GuestClosesHalf) {
  const Ports ports{5000, kPort};
  UniqueFd host = accept(ports);
  guest->send(Operation::shutdown, ports, {}, wire::kShutdownSend);
  EXPECT_EQ(read(host, 1), "");
  write(host, "still heard");
  EXPECT_EQ(expect(Operation::data, ports).payload, "still heard");
  host.reset();
  EXPECT_EQ(expect(Operation::shutdown, ports).header.flags, wire::kShutdownBoth);
}

TEST_F(VsockTest, GuestDoesNotReceiveAnyMore) {
  const Ports ports{5000, kPort};
  UniqueFd host = accept(ports);
  guest->send(Operation::shutdown, ports, {}, wire::kShutdownReceive);
  EXPECT_EQ(::send(host.get(), "x", 1, MSG_NOSIGNAL), -1);
  guest->send(Operation::data, ports, "but speaks");
  EXPECT_EQ(read(host, 10), "but speaks");
  host.reset();
  EXPECT_EQ(expect(Operation::shutdown, ports).header.flags, wire::kShutdownBoth);
}

TEST_F(VsockTest, HostDoesNotReceiveAnyMore) {
  const Ports ports{5000, kPort};
  const UniqueFd host = accept(ports);
  ::shutdown(host.get(), SHUT_RD);
  guest->send(Operation::data, ports, "in vain");
  EXPECT_EQ(expect(Operation::shutdown, ports).header.flags, wire::kShutdownReceive);
  write(host, "but speaks");
  EXPECT_EQ(expect(Operation::data, ports).payload, "but speaks");
}

TEST_F(VsockTest, HostBreaksTheConnection) {
  const Ports ports{5000, kPort};
  UniqueFd host = accept(ports);
  guest->send(Operation::data, ports, "never read");
  host.reset();
  expect(Operation::reset, ports);
  EXPECT_EQ(device.connection_count(), 0u);
}

TEST_F(VsockTest, SendsNoMoreThanTheGuestHasRoomFor) {
  const Ports ports{5000, kPort};
  const UniqueFd host = accept(ports);
  std::string text(kGuestRoom + 1000, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7 + i / 256);
  std::thread writer([&] { write(host, text); });
  std::string got = read_packets(ports, kGuestRoom);
  EXPECT_EQ(got.size(), kGuestRoom);
  EXPECT_TRUE(guest->is_silent());
  guest->forwarded = 600;
  guest->send(Operation::credit_update, ports);
  got += read_packets(ports, 600);
  EXPECT_EQ(got.size(), kGuestRoom + 600);
  EXPECT_TRUE(guest->is_silent());
  // Any packet tells.
  guest->forwarded = 100000;
  guest->send(Operation::data, ports, "x");
  got += read_packets(ports, 400);
  writer.join();
  EXPECT_EQ(got, text);
}

TEST_F(VsockTest, HostClosesWhileTheGuestHasNoRoom) {
  const Ports ports{5000, kPort};
  UniqueFd host = accept(ports);
  write(host, std::string(100000, 'a'));
  write(host, std::string(50000, 'b'));
  ASSERT_EQ(read_packets(ports, 150000).size(), 150000u);
  write(host, std::string(120000, 'c'));
  const size_t room = kGuestRoom - 150000;
  ASSERT_EQ(read_packets(ports, room).size(), room);
  host.reset();
  EXPECT_TRUE(guest->is_silent());
  guest->forwarded = kGuestRoom;
  guest->send(Operation::credit_update, ports);
  EXPECT_EQ(read_packets(ports, 120000 - room), std::string(120000 - room, 'c'));
  EXPECT_EQ(expect(Operation::shutdown, ports).header.flags, wire::kShutdownBoth);
}

TEST_F(VsockTest, WaitsForBuffersOfTheGuest) {
  guest.emplace(device, 1);
  const Ports ports{5000, kPort}, others{5001, kPort};
  const UniqueFd host = accept(ports), other = accept(others);
  guest->give_back(false);
  write(host, "one");
  EXPECT_EQ(expect(Operation::data, ports).payload, "one");
  write(host, "two");
  write(other, "three");
  guest->send(Operation::credit_request, ports);
  EXPECT_TRUE(guest->is_silent());
  guest->give(3);
  expect(Operation::credit_update, ports);
  std::set<std::string> texts;
  for (int i = 0; i < 2; ++i) texts.insert(guest->next()->payload);
  EXPECT_EQ(texts, (std::set<std::string>{"two", "three"}));
}

TEST_F(VsockTest, KeepsWhatTheHostDoesNotRead) {
  const Ports ports{5000, kPort};
  const UniqueFd host = accept(ports);
  // More than a UNIX socket takes, and no more than it may.
  const std::string piece(65536, 'x');
  uint32_t sent = 0, forwarded = 0;
  std::string expected;
  for (bool full = false; !full;) {
    guest->send(Operation::data, ports, piece);
    expected += piece;
    sent += static_cast<uint32_t>(piece.size());
    guest->send(Operation::credit_request, ports);
    while (auto packet = guest->next(200ms)) {
      EXPECT_EQ(packet->operation(), Operation::credit_update);
      forwarded = packet->header.forwarded;
      if (forwarded == sent) break;
      full = sent + piece.size() - forwarded > kLargeRoom;
      if (full) break;
    }
    ASSERT_LE(sent, 4u << 20);
  }
  EXPECT_EQ(read(host, expected.size()), expected);
  for (uint32_t said = forwarded; said != sent;) {
    said = expect(Operation::credit_update, ports).header.forwarded;
    if (sent - said < kLargeRoom / 4) break;
  }
}

TEST_F(VsockTest, EndsAConnectionWhoseGuestSendsMoreThanItMay) {
  const Ports ports{5000, kPort};
  const UniqueFd host = accept(ports);
  const std::string piece(65536, 'x');
  std::optional<Received> packet;
  for (unsigned i = 0; i < 20 && !packet; ++i) {
    guest->send(Operation::data, ports, piece);
    packet = guest->next(1ms);
    if (packet && packet->operation() == Operation::credit_update) packet.reset();
  }
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->operation(), Operation::reset);
  EXPECT_EQ(device.connection_count(), 0u);
}

TEST_F(VsockTest, GivesTheHostWhatAGuestSentBeforeItClosed) {
  const Ports ports{5000, kPort};
  const UniqueFd host = accept(ports);
  const std::string piece(65536, 'x');
  size_t sent = 0;
  // The socket takes some 200 KB, the device keeps the rest.
  for (; sent < 6 * piece.size(); sent += piece.size()) guest->send(Operation::data, ports, piece);
  guest->send(Operation::shutdown, ports, {}, wire::kShutdownBoth);
  std::optional<Received> packet;
  while ((packet = guest->next()) && packet->operation() == Operation::credit_update) {
  }
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->operation(), Operation::reset);
  EXPECT_EQ(device.connection_count(), 1u);
  // The guest may use its port again.
  const UniqueFd again = accept(ports);
  EXPECT_EQ(device.connection_count(), 2u);
  EXPECT_EQ(read(host, 2 * sent).size(), sent);
  EXPECT_TRUE(wait_for_connections(1));
  guest->send(Operation::data, ports, "new");
  EXPECT_EQ(read(again, 3), "new");
}

TEST_F(VsockTest, ResetsWhatBelongsToNoConnection) {
  for (const Operation operation :
       {Operation::data, Operation::response, Operation::shutdown, Operation::credit_update,
        Operation::credit_request, Operation::invalid}) {
    guest->send(operation, {1, 2}, operation == Operation::data ? "x" : "");
    expect(Operation::reset, {1, 2});
  }
  guest->send(static_cast<Operation>(999), {1, 2});
  expect(Operation::reset, {1, 2});
  guest->send(Operation::reset, {1, 2});
  EXPECT_TRUE(guest->is_silent());
}

TEST_F(VsockTest, HasNoOtherTypesOfSockets) {
  for (const uint16_t type : {0, 2, 3, 65535}) {
    wire::Header header = guest->header(Operation::request, {1, 2});
    header.type = type;
    guest->send_raw(header);
    EXPECT_EQ(expect(Operation::reset, {1, 2}).header.type, type);
  }
}

TEST_F(VsockTest, IgnoresWhatIsNoPacketToTheHost) {
  wire::Header header = guest->header(Operation::data, {1, 2});
  header.source_cid = kCid + 1;
  guest->send_raw(header);
  header = guest->header(Operation::data, {1, 2});
  header.destination_cid = 3;
  guest->send_raw(header);
  header = guest->header(Operation::data, {1, 2}, 5);
  guest->send_raw(header, "four");
  header.length = UINT32_MAX;
  guest->send_raw(header, "four");
  auto half = testing::bytes_of(header);
  half.resize(43);
  guest->send_raw(std::vector<testing::Bytes>{half});
  guest->transmit_queue().request({.writable = {100}});
  EXPECT_TRUE(guest->is_silent());
  EXPECT_FALSE(guest->is_broken());
}

TEST_F(VsockTest, TakesPacketsInPieces) {
  const Ports ports{5000, kPort};
  const UniqueFd host = accept(ports);
  const auto header = testing::bytes_of(guest->header(Operation::data, ports, 6));
  std::vector<testing::Bytes> pieces;
  for (size_t i = 0; i < header.size(); i += 11) pieces.emplace_back(&header[i], &header[i] + 11);
  for (const char* text : {"a", "bc", "def", "beyond"})
    pieces.push_back(testing::bytes_of(std::string_view(text)));
  guest->send_raw(std::move(pieces));
  EXPECT_EQ(read(host, 6), "abcdef");
}

TEST_F(VsockTest, EndsConnectionsThatBreakTheProtocol) {
  for (const Operation operation :
       {Operation::request, Operation::response, Operation::invalid, static_cast<Operation>(77)}) {
    const Ports ports{5000, kPort};
    const UniqueFd host = accept(ports);
    guest->send(operation, ports);
    expect(Operation::reset, ports);
    EXPECT_EQ(read(host, 1), "");
  }
  // Speaks after it said that it would not.
  const Ports ports{5000, kPort};
  const UniqueFd host = accept(ports);
  guest->send(Operation::shutdown, ports, {}, wire::kShutdownSend);
  guest->send(Operation::data, ports, "x");
  expect(Operation::reset, ports);
  // Before the host has answered.
  for (const Operation operation : {Operation::data, Operation::request, Operation::response}) {
    guest->send(Operation::request, ports);
    guest->send(operation, ports, operation == Operation::data ? "x" : "");
    expect(Operation::reset, ports);
    EXPECT_FALSE(answer(await_asked(), {}));
  }
  EXPECT_EQ(device.connection_count(), 0u);
}

TEST_F(VsockTest, BelievesNoWrongCredit) {
  const Ports ports{5000, kPort};
  const UniqueFd host = accept(ports);
  guest->forwarded = 1;  // More than it was sent.
  guest->send(Operation::credit_update, ports);
  write(host, "x");
  EXPECT_TRUE(guest->is_silent());
  guest->forwarded = 0;
  guest->send(Operation::credit_update, ports);
  EXPECT_EQ(expect(Operation::data, ports).payload, "x");
}

TEST_F(VsockTest, AsksTheHostForAFewAtATime) {
  for (uint32_t port = 0; port < kMostAsked; ++port) guest->send(Operation::request, {port, kPort});
  EXPECT_TRUE(guest->is_silent());
  guest->send(Operation::request, {kMostAsked, kPort});
  expect(Operation::reset, {kMostAsked, kPort});
  EXPECT_EQ(device.connection_count(), kMostAsked);
  EXPECT_TRUE(answer(await_asked(), {}));
  expect(Operation::reset, {0, kPort});
  guest->send(Operation::request, {kMostAsked, kPort});
  EXPECT_TRUE(guest->is_silent());
  // Who takes it back is asked about still.
  guest->send(Operation::reset, {kMostAsked, kPort});
  guest->send(Operation::request, {kMostAsked, kPort});
  expect(Operation::reset, {kMostAsked, kPort});
}

TEST_F(VsockTest, TheHostMayGiveUpWhilePaused) {
  device.pause();
  std::future<Result<uint32_t>> connected;
  {
    Pair pair;
    connected = connect(22, std::move(pair.device), 300ms);
  }
  device.resume();
  const auto request = guest->next();
  ASSERT_TRUE(request);
  const Ports ports{22, request->header.source_port};
  guest->send(Operation::response, ports);
  EXPECT_TRUE(connected.get());
  EXPECT_EQ(guest->next()->operation(), Operation::shutdown);
  guest->send(Operation::reset, ports);
  // Nothing is left that would look for it.
  std::this_thread::sleep_for(400ms);
  EXPECT_EQ(device.connection_count(), 0u);
}

TEST_F(VsockTest, TakesNothingFromAGuestThatHearsNoAnswers) {
  guest.emplace(device, 0);
  auto& queue = guest->transmit_queue();
  const auto packet = testing::bytes_of(guest->header(Operation::data, {1, 2}));
  unsigned taken = 0;
  for (unsigned round = 0; round < 4; ++round) {
    for (unsigned i = 0; i < 200; ++i) queue.add({.readable = {packet}});
    queue.notify();
    while (queue.wait(100ms)) ++taken;
    if (taken % 200) break;
  }
  EXPECT_EQ(taken, kMostReplies);
  // It goes on with the first buffers.
  guest->give(200);
  while (queue.wait(100ms)) ++taken;
  EXPECT_EQ(taken, 400u);
}

TEST_F(VsockTest, GivesUpADriverThatBreaksItsQueues) {
  const Ports ports{5000, kPort};
  const UniqueFd host = accept(ports);
  guest->transmit_queue().publish(60000);
  guest->transmit_queue().notify();
  EXPECT_TRUE(guest->guest().interrupts().wait([&] { return guest->is_broken(); }));
  EXPECT_EQ(read(host, 1), "");
  EXPECT_EQ(device.connection_count(), 0u);
  Pair pair;
  EXPECT_FALSE(connect(22, std::move(pair.device)).get());
}

TEST_F(VsockTest, GivesUpADriverWhoseBuffersAreTooSmall) {
  for (const uint32_t size : {1u, 43u, 44u}) {
    guest.emplace(device, 1, size);
    guest->send(Operation::data, {1, 2});
    EXPECT_TRUE(guest->guest().interrupts().wait([&] { return guest->is_broken(); })) << size;
  }
}

TEST_F(VsockTest, EndsAllWithItsDriver) {
  const UniqueFd host = accept({5000, kPort});
  Pair pair;
  auto connected = connect(22, std::move(pair.device));
  guest->send(Operation::request, {5001, kPort});
  const uint64_t id = await_asked();
  guest.reset();
  EXPECT_EQ(read(host, 1), "");
  EXPECT_FALSE(connected.get());
  guest.emplace(device);
  EXPECT_FALSE(answer(id, {}));
  EXPECT_EQ(device.connection_count(), 0u);
}

TEST_F(VsockTest, DoesNothingWhilePaused) {
  const Ports ports{5000, kPort};
  const UniqueFd host = accept(ports);
  device.pause();
  write(host, "later");
  guest->transmit_queue().add(
      {.readable = {testing::bytes_of(guest->header(Operation::credit_request, ports))}});
  guest->transmit_queue().notify();
  Pair pair;
  auto connected = connect(22, std::move(pair.device));
  EXPECT_TRUE(guest->is_silent());
  device.resume();
  std::multiset<Operation> operations;
  for (int i = 0; i < 3; ++i) operations.insert(guest->next()->operation());
  EXPECT_EQ(operations,
            (std::multiset<Operation>{Operation::request, Operation::data, Operation::credit_update}));
}

TEST_F(VsockTest, GivesLaterConnectionsLessRoom) {
  std::vector<UniqueFd> hosts;
  for (uint32_t port = 0; port < kLargeRooms; ++port) hosts.push_back(accept({port, kPort}));
  guest->send(Operation::request, {9999, kPort});
  Pair pair;
  EXPECT_TRUE(answer(await_asked(), std::move(pair.device)));
  EXPECT_EQ(expect(Operation::response, {9999, kPort}).header.buffer_size, kSmallRoom);
}

TEST_F(VsockTest, LeavesDescriptorsToOthers) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low{.rlim_cur = 200, .rlim_max = before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &low);
  guest.emplace(device, 200);
  ::setrlimit(RLIMIT_NOFILE, &before);
  for (uint32_t port = 0; port < 50; ++port) guest->send(Operation::request, {port, kPort});
  EXPECT_TRUE(guest->is_silent());
  guest->send(Operation::request, {50, kPort});
  expect(Operation::reset, {50, kPort});
  Pair pair;
  const auto refused = connect(22, std::move(pair.device)).get();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::virtual_machine_limit_exceeded);
}

TEST_F(VsockTest, LeavesNoDescriptorBehind) {
  const auto count = [] { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}); };
  const auto before = count();
  for (uint32_t round = 0; round < 300; ++round) {
    const Ports ports{round, kPort};
    UniqueFd host = accept(ports);
    guest->send(Operation::data, ports, "hello");
    EXPECT_EQ(read(host, 5), "hello");
    if (round % 3 == 0) {
      host.reset();
      expect(Operation::shutdown, ports);
      guest->send(Operation::reset, ports);
    } else {
      guest->send(round % 3 == 1 ? Operation::reset : Operation::shutdown, ports, {}, wire::kShutdownBoth);
      if (round % 3 == 2) expect(Operation::reset, ports);
    }
  }
  EXPECT_TRUE(wait_for_connections(0));
  EXPECT_EQ(count(), before);
}

}  // namespace
}  // namespace alcove::devices::vsock
