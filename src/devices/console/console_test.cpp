#include "devices/console/console.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "spec/virtio.h"
#include "virtio/testing/fake_driver.h"

namespace alcove::devices::console {
namespace {

using namespace std::chrono_literals;
using virtio::testing::Bytes;
using virtio::testing::bytes_of;
using virtio::testing::FakeGuest;

constexpr unsigned kReceive = 0, kTransmit = 1;

class ConsoleTest : public testing::Test {
 protected:
  // A descriptor whose other end is attached to the port.
  UniqueFd attach() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    port.attach(serial::Attachment::duplex(UniqueFd(ends[1])));
    return UniqueFd(ends[0]);
  }
  bool wait_for_log(const std::string& text) {
    return guest.interrupts().wait([&] { return port.log().read() == text; });
  }

  exec::LoopThread thread{"serial"};
  serial::Port port{thread.loop(), LogRing::create().value(), {.queue_size = 4096, .patience = 10s}};
  Console console{port};
  FakeGuest guest;
};

TEST_F(ConsoleTest, PrintsWhatTheGuestSends) {
  guest.activate(console, console.features());
  for (bool indirect : {false, true}) {
    const auto reply = guest.queue(kTransmit).request(
        {.readable = {bytes_of("hello, "), bytes_of("world\n")}, .indirect = indirect});
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->length, 0u);
  }
  EXPECT_EQ(port.log().read(), "hello, world\nhello, world\n");
}

TEST_F(ConsoleTest, TakesBuffersThatWereThereBeforeItWasActive) {
  UniqueFd host = attach();
  ASSERT_EQ(write(host.get(), "typed ahead", 11), 11);
  guest.activate(console, console.features());
  const auto reply = guest.queue(kReceive).request({.writable = {6, 100}});
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->length, 11u);
  EXPECT_EQ(reply->writable[0], bytes_of("typed "));
}

TEST_F(ConsoleTest, HoldsInputUntilThereAreBuffers) {
  UniqueFd host = attach();
  guest.activate(console, console.features());
  std::string sent, got;
  for (int i = 0; i < 3000; ++i) sent += static_cast<char>('a' + i % 26);
  ASSERT_EQ(write(host.get(), sent.data(), sent.size()), 3000);
  while (got.size() < sent.size()) {
    const auto reply = guest.queue(kReceive).request({.writable = {100}});
    ASSERT_TRUE(reply);
    got.append(reinterpret_cast<const char*>(reply->writable[0].data()), reply->length);
  }
  EXPECT_EQ(got, sent);
}

TEST_F(ConsoleTest, HoldsOutputWhileTheHostTakesNone) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  ASSERT_GT(fcntl(ends[1], F_SETPIPE_SZ, 4096), 0);
  UniqueFd reader(ends[0]);
  port.attach({.reading = {}, .writing = UniqueFd(ends[1])});
  guest.activate(console, console.features());
  const Bytes much(100'000, std::byte{'x'});
  guest.queue(kTransmit).add({.readable = {much}});
  guest.queue(kTransmit).notify();
  EXPECT_FALSE(guest.queue(kTransmit).wait(100ms));
  std::string text(much.size(), 0);
  size_t got = 0;
  while (got < much.size()) {
    const ssize_t size = read(reader.get(), text.data() + got, much.size() - got);
    ASSERT_GT(size, 0);
    got += static_cast<size_t>(size);
  }
  EXPECT_TRUE(guest.queue(kTransmit).wait());
  EXPECT_EQ(text, std::string(much.size(), 'x'));
  EXPECT_EQ(port.dropped(), 0u);
}

TEST_F(ConsoleTest, ShowsItsSizeAndTellsOfANewOne) {
  guest.activate(console, console.features());
  console.resize(132, 43);
  EXPECT_TRUE(guest.interrupts().wait([&] { return guest.interrupts().configuration_count() == 1; }));
  Bytes bytes(4);
  console.read_config(0, bytes);
  EXPECT_EQ(bytes, (Bytes{std::byte{132}, std::byte{0}, std::byte{43}, std::byte{0}}));
}

TEST_F(ConsoleTest, PrintsEmergencyWritesWithoutADriver) {
  console.write_config(8, bytes_of(uint32_t{'!'}));
  EXPECT_EQ(port.log().read(), "!");
}

TEST_F(ConsoleTest, AsksForAResetAfterABrokenRing) {
  guest.activate(console, console.features());
  guest.queue(kTransmit).publish(9999);
  guest.queue(kTransmit).notify();
  EXPECT_TRUE(guest.interrupts().wait([&] { return guest.interrupts().needs_reset_count() == 1; }));
  guest.reset();
  guest.activate(console, console.features());
  EXPECT_TRUE(guest.queue(kTransmit).request({.readable = {bytes_of("again")}}));
  EXPECT_EQ(port.log().read(), "again");
}

TEST_F(ConsoleTest, BearsBuffersOfTheWrongDirection) {
  UniqueFd host = attach();
  guest.activate(console, console.features());
  const auto sent = guest.queue(kTransmit).request({.writable = {16}});
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->length, 0u);
  ASSERT_EQ(write(host.get(), "in", 2), 2);
  const auto without_room = guest.queue(kReceive).request({.readable = {bytes_of("full")}});
  ASSERT_TRUE(without_room);
  EXPECT_EQ(without_room->length, 0u);
  const auto received = guest.queue(kReceive).request({.writable = {16}});
  ASSERT_TRUE(received);
  EXPECT_EQ(received->length, 2u);
}

TEST_F(ConsoleTest, WorksWithOneQueueOnly) {
  guest.activate(console, console.features(), 16, std::vector<unsigned>{kTransmit});
  EXPECT_TRUE(guest.queue(kTransmit).request({.readable = {bytes_of("out")}}));
  EXPECT_TRUE(wait_for_log("out"));
}

TEST_F(ConsoleTest, TakesNothingWhilePaused) {
  guest.activate(console, console.features());
  console.pause();
  guest.queue(kTransmit).add({.readable = {bytes_of("late")}});
  guest.queue(kTransmit).notify();
  EXPECT_FALSE(guest.queue(kTransmit).wait(50ms));
  console.resume();
  EXPECT_TRUE(guest.queue(kTransmit).wait());
  EXPECT_EQ(port.log().read(), "late");
}

}  // namespace
}  // namespace alcove::devices::console
