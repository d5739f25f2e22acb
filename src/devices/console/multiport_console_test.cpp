#include "devices/console/multiport_console.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "virtio/testing/fake_driver.h"

namespace alcove::devices::console {
namespace {

using namespace std::chrono_literals;
using spec::virtio_console::ControlMessage;
using virtio::testing::Bytes;
using virtio::testing::bytes_of;
using virtio::testing::FakeGuest;
namespace wire = spec::virtio_console;

// Port 0 is a console, port 3 has a name; there may be five.
class MultiportConsoleTest : public testing::Test {
 protected:
  void SetUp() override {
    console.emplace(std::vector<MultiportConsolePort>{{0, &first, "", true}, {3, &second, "org.example.0"}},
                    5, [this](unsigned number, uint64_t openings, bool open) {
                      opened.emplace_back(number, openings, open);
                    });
    guest.activate(*console, console->features());
  }
  void say(ControlMessage message) {
    ASSERT_TRUE(guest.queue(wire::kControlTransmitQueue).request({.readable = {bytes_of(message)}}));
  }
  // The device's next message, with what follows it.
  struct Heard {
    uint32_t port = ~0u;
    uint16_t event = 0xffff, value = 0;
    std::string rest;
  };
  Heard hear(uint32_t room = 64) {
    const auto reply = guest.queue(wire::kControlReceiveQueue).request({.writable = {room}});
    if (!reply || reply->length < sizeof(ControlMessage)) return {};
    ControlMessage message;
    std::memcpy(&message, reply->writable[0].data(), sizeof message);
    return {message.port, message.event, message.value,
            std::string(reinterpret_cast<const char*>(reply->writable[0].data()) + sizeof message,
                        reply->length - sizeof message)};
  }
  bool is_silent() {
    guest.queue(wire::kControlReceiveQueue).add({.writable = {64}});
    guest.queue(wire::kControlReceiveQueue).notify();
    return !guest.queue(wire::kControlReceiveQueue).wait(50ms);
  }
  void introduce() {
    say({.port = 0, .event = wire::kDeviceReady, .value = 1});
    EXPECT_EQ(hear().port, 0u);
    EXPECT_EQ(hear().port, 3u);
  }
  UniqueFd attach(serial::Port& port) {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    port.attach(serial::Attachment::duplex(UniqueFd(ends[1])));
    return UniqueFd(ends[0]);
  }

  exec::LoopThread thread{"serial"};
  serial::Port first{thread.loop(), LogRing::create().value()};
  serial::Port second{thread.loop(), LogRing::create().value()};
  std::vector<std::tuple<unsigned, uint64_t, bool>> opened;
  std::optional<MultiportConsole> console;
  FakeGuest guest;
};

TEST_F(MultiportConsoleTest, HasQueuesForAllPortsThatThereMayBe) {
  EXPECT_EQ(console->queue_sizes().size(), 12u);
  Bytes bytes(4);
  console->read_config(4, bytes);
  EXPECT_EQ(bytes, bytes_of(uint32_t{5}));
}

TEST_F(MultiportConsoleTest, TellsOfItsPorts) {
  say({.port = 0, .event = wire::kDeviceReady, .value = 1});
  for (uint32_t number : {0u, 3u}) {
    const Heard heard = hear();
    EXPECT_EQ(heard.event, wire::kPortAdd);
    EXPECT_EQ(heard.port, number);
  }
  say({.port = 3, .event = wire::kPortReady, .value = 1});
  const Heard name = hear();
  EXPECT_EQ(name.event, wire::kPortName);
  EXPECT_EQ(name.rest, "org.example.0");
  const Heard open = hear();
  EXPECT_EQ(open.event, wire::kPortOpen);
  EXPECT_EQ(open.value, 1u);
  say({.port = 0, .event = wire::kPortReady, .value = 1});
  EXPECT_EQ(hear().event, wire::kConsolePort);
  EXPECT_EQ(hear().event, wire::kPortOpen);
  EXPECT_TRUE(is_silent());
}

TEST_F(MultiportConsoleTest, TellsConsolesOfTheirTerminalsSize) {
  introduce();
  console->resize(0, 132, 43);
  console->resize(3, 132, 43);  // Is none.
  console->resize(4, 132, 43);
  say({.port = 0, .event = wire::kPortReady, .value = 1});
  EXPECT_EQ(hear().event, wire::kConsolePort);
  const Heard size = hear();
  EXPECT_EQ(size.event, wire::kResize);
  EXPECT_EQ(size.rest, std::string("\x2b\0\x84\0", 4));
  EXPECT_EQ(hear().event, wire::kPortOpen);
  console->resize(0, 80, 25);
  EXPECT_EQ(hear().rest, std::string("\x19\0\x50\0", 4));
}

TEST_F(MultiportConsoleTest, CarriesBytesBothWays) {
  UniqueFd host = attach(second);
  introduce();
  say({.port = 3, .event = wire::kPortOpen, .value = 1});
  const unsigned receive = wire::receive_queue(3);
  ASSERT_EQ(write(host.get(), "to the guest", 12), 12);
  const auto got = guest.queue(receive).request({.writable = {64}});
  ASSERT_TRUE(got);
  EXPECT_EQ(got->length, 12u);
  ASSERT_TRUE(guest.queue(receive + 1).request({.readable = {bytes_of("to the host")}}));
  char text[64];
  EXPECT_EQ(read(host.get(), text, sizeof text), 11);
  EXPECT_EQ(first.log().read(), "");
}

TEST_F(MultiportConsoleTest, KeepsInputForWhoOpensThePort) {
  UniqueFd host = attach(second);
  introduce();
  ASSERT_EQ(write(host.get(), "early", 5), 5);
  FakeGuest& driver = guest;
  driver.queue(wire::receive_queue(3)).add({.writable = {64}});
  driver.queue(wire::receive_queue(3)).notify();
  EXPECT_FALSE(driver.queue(wire::receive_queue(3)).wait(50ms));
  say({.port = 3, .event = wire::kPortOpen, .value = 1});
  const auto got = driver.queue(wire::receive_queue(3)).wait();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->length, 5u);
}

TEST_F(MultiportConsoleTest, SaysWhatTheGuestOpensAndCloses) {
  introduce();
  say({.port = 3, .event = wire::kPortOpen, .value = 1});
  say({.port = 3, .event = wire::kPortOpen, .value = 1});
  say({.port = 3, .event = wire::kPortOpen, .value = 0});
  say({.port = 0, .event = wire::kPortOpen, .value = 1});
  say({.port = 3, .event = wire::kPortOpen, .value = 1});
  guest.reset();
  using List = std::vector<std::tuple<unsigned, uint64_t, bool>>;
  EXPECT_EQ(opened,
            (List{{3, 1, true}, {3, 1, false}, {0, 1, true}, {3, 2, true}, {0, 1, false}, {3, 2, false}}));
}

// Port 3 is attached per opening.
struct AttachedPerOpening : MultiportConsoleTest {
  void SetUp() override {
    console.emplace(
        std::vector<MultiportConsolePort>{
            {0, &first, "", true},
            {.number = 3, .port = &second, .name = "agent", .is_attached_per_opening = true}},
        5, [](unsigned, uint64_t, bool) {});
    guest.activate(*console, console->features());
    introduce();
  }
  void set_open(bool open) { say({.port = 3, .event = wire::kPortOpen, .value = open}); }
  // The host's end.
  UniqueFd attach_for(uint64_t opening) {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    console->attach(3, opening, serial::Attachment::duplex(UniqueFd(ends[1])));
    return UniqueFd(ends[0]);
  }
  void put_out(std::string_view text) {
    guest.queue(transmit).add({.readable = {bytes_of(text)}});
    guest.queue(transmit).notify();
  }
  static std::string read_some(const UniqueFd& host) {
    char text[64];
    const ssize_t size = read(host.get(), text, sizeof text);
    return {text, static_cast<size_t>(std::max<ssize_t>(size, 0))};
  }
  static constexpr unsigned transmit = wire::receive_queue(3) + 1;
};

TEST_F(AttachedPerOpening, OutputWaitsForTheHost) {
  set_open(true);
  put_out("text");
  EXPECT_FALSE(guest.queue(transmit).wait(50ms));
  const UniqueFd host = attach_for(1);
  EXPECT_TRUE(guest.queue(transmit).wait());
  EXPECT_EQ(read_some(host), "text");
}

TEST_F(AttachedPerOpening, NothingIsLeftToTheNext) {
  set_open(true);
  const UniqueFd one = attach_for(1);
  ASSERT_EQ(write(one.get(), "to the first", 12), 12);
  set_open(false);
  EXPECT_EQ(read_some(one), "") << "its end";
  set_open(true);
  put_out("of the second, whom nobody answered");
  set_open(false);
  EXPECT_TRUE(guest.queue(transmit).wait()) << "given back";
  set_open(true);
  EXPECT_EQ(read_some(attach_for(2)), "") << "too late";
  const UniqueFd three = attach_for(3);
  ASSERT_EQ(write(three.get(), "hello", 5), 5);
  put_out("of the third");
  EXPECT_TRUE(guest.queue(transmit).wait());
  EXPECT_EQ(read_some(three), "of the third");
  const auto got = guest.queue(transmit - 1).request({.writable = {64}});
  ASSERT_TRUE(got);
  EXPECT_EQ(got->length, 5u);
}

TEST_F(MultiportConsoleTest, ServesADriverThatKnowsOnePort) {
  guest.reset();
  guest.activate(*console, 0);
  ASSERT_TRUE(guest.queue(1).request({.readable = {bytes_of("plain")}}));
  EXPECT_EQ(first.log().read(), "plain");
  UniqueFd host = attach(first);
  ASSERT_EQ(write(host.get(), "in", 2), 2);
  EXPECT_EQ(guest.queue(0).request({.writable = {64}})->length, 2u);
}

TEST_F(MultiportConsoleTest, BearsMessagesWithoutSense) {
  say({.port = 77, .event = wire::kPortReady, .value = 1});
  say({.port = 77, .event = wire::kPortOpen, .value = 1});
  say({.port = 0, .event = 999, .value = 1});
  say({.port = 3, .event = wire::kPortReady, .value = 0});
  ASSERT_TRUE(guest.queue(wire::kControlTransmitQueue).request({.readable = {bytes_of("short")}}));
  ASSERT_TRUE(guest.queue(wire::kControlTransmitQueue).request({.writable = {64}}));
  EXPECT_TRUE(is_silent());
  EXPECT_TRUE(opened.empty());
}

TEST_F(MultiportConsoleTest, TriesTheNextBufferWhereOneIsTooSmall) {
  introduce();
  say({.port = 3, .event = wire::kPortReady, .value = 1});
  EXPECT_EQ(hear(4).event, 0xffff);
  EXPECT_EQ(hear(16).event, 0xffff);
  EXPECT_EQ(hear().rest, "org.example.0");
  EXPECT_EQ(hear(8).event, wire::kPortOpen);
}

TEST_F(MultiportConsoleTest, AsksForAResetAfterABrokenRing) {
  guest.queue(wire::kControlTransmitQueue).publish(9999);
  guest.queue(wire::kControlTransmitQueue).notify();
  EXPECT_TRUE(guest.interrupts().wait([&] { return guest.interrupts().needs_reset_count() == 1; }));
  guest.reset();
  guest.activate(*console, console->features());
  introduce();
}

TEST_F(MultiportConsoleTest, SaysNothingWhilePaused) {
  console->pause();
  guest.queue(wire::kControlTransmitQueue)
      .add({.readable = {bytes_of(ControlMessage{.port = 0, .event = 0, .value = 1})}});
  guest.queue(wire::kControlTransmitQueue).notify();
  EXPECT_FALSE(guest.queue(wire::kControlTransmitQueue).wait(50ms));
  console->resume();
  EXPECT_TRUE(guest.queue(wire::kControlTransmitQueue).wait());
  EXPECT_EQ(hear().event, wire::kPortAdd);
}

}  // namespace
}  // namespace alcove::devices::console
