#include "serial/port.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <termios.h>

#include <condition_variable>
#include <cstring>
#include <string>
#include <thread>

namespace alcove::serial {
namespace {

using namespace std::chrono_literals;

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

class Guest : public Listener {
 public:
  size_t receive(std::span<const std::byte> input) override {
    std::lock_guard lock(mutex_);
    const size_t taken = std::min(room, input.size());
    room -= taken;
    text_.append(reinterpret_cast<const char*>(input.data()), taken);
    changed_.notify_all();
    return taken;
  }
  void writable() override {
    std::lock_guard lock(mutex_);
    ++writable_;
    changed_.notify_all();
  }
  bool wait_for(const std::string& text) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 5s, [&] { return text_ == text; });
  }
  bool wait_writable() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 5s, [&] { return std::exchange(writable_, 0) > 0; });
  }
  void give_room(size_t more) {
    std::lock_guard lock(mutex_);
    room = more;
  }

 private:
  size_t room = SIZE_MAX;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
  int writable_ = 0;
};

struct Pipe {
  UniqueFd read, write;
  Pipe() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    read.reset(ends[0]), write.reset(ends[1]);
  }
};

std::string read_all(int fd, size_t size) {
  std::string text(size, 0);
  size_t at = 0;
  while (at < size) {
    const ssize_t got = ::read(fd, text.data() + at, size - at);
    if (got <= 0) break;
    at += static_cast<size_t>(got);
  }
  text.resize(at);
  return text;
}

TEST(Port, LogsWithNothingAttached) {
  exec::LoopThread thread("serial");
  Port port(thread.loop(), LogRing::create().value());
  EXPECT_EQ(port.write(bytes("early boot")), 10u);
  EXPECT_EQ(port.log().read(), "early boot");
  EXPECT_EQ(port.dropped(), 0u);
}

TEST(Port, CarriesBytesBothWays) {
  exec::LoopThread thread("serial");
  Pipe in, out;
  Guest guest;
  Port port(thread.loop(), LogRing::create().value());
  port.set_listener(&guest);
  port.attach({.reading = std::move(in.read), .writing = std::move(out.write)});
  port.write(bytes("login: "));
  EXPECT_EQ(read_all(out.read.get(), 7), "login: ");
  ASSERT_EQ(write(in.write.get(), "root\n", 5), 5);
  EXPECT_TRUE(guest.wait_for("root\n"));
  port.set_listener(nullptr);
}

TEST(Port, HoldsInputUntilTheGuestHasRoom) {
  exec::LoopThread thread("serial");
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  UniqueFd mine(ends[0]);
  Guest guest;
  guest.give_room(3);
  Port port(thread.loop(), LogRing::create().value());
  port.set_listener(&guest);
  port.attach(Attachment::duplex(UniqueFd(ends[1])));
  ASSERT_EQ(write(mine.get(), "abcdefgh", 8), 8);
  EXPECT_TRUE(guest.wait_for("abc"));
  guest.give_room(2);
  port.ready();
  EXPECT_TRUE(guest.wait_for("abcde"));
  guest.give_room(100);
  port.ready();
  EXPECT_TRUE(guest.wait_for("abcdefgh"));
  port.set_listener(nullptr);
}

TEST(Port, HoldsTheGuestUpOnlyForAWhileAndCountsWhatIsLost) {
  exec::LoopThread thread("serial");
  Pipe out;
  ASSERT_GT(fcntl(out.write.get(), F_SETPIPE_SZ, 4096), 0);
  Guest guest;
  Port port(thread.loop(), LogRing::create().value(), {.queue_size = 8192, .patience = 50ms});
  port.set_listener(&guest);
  port.attach({.reading = {}, .writing = std::move(out.write)});
  const std::string block(4096, 'x');
  const auto begin = exec::Clock::now();
  uint64_t taken = 0;
  while (port.dropped() == 0) {
    const size_t now = port.write(bytes(block));
    taken += now;
    if (now < block.size()) {
      EXPECT_TRUE(guest.wait_writable());
    }
  }
  EXPECT_GE(exec::Clock::now() - begin, 50ms);
  taken -= port.dropped();
  EXPECT_LE(taken, 4096u + 8192u);
  // What was taken comes out when somebody reads again, and then the guest's output is taken again.
  EXPECT_EQ(read_all(out.read.get(), taken).size(), taken);
  while (true) {
    const uint64_t before = port.dropped();
    port.write(bytes("again"));
    if (port.dropped() == before) break;
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(read_all(out.read.get(), 5), "again");
  port.set_listener(nullptr);
}

TEST(Port, WaitsForEverWithoutLosingAnything) {
  exec::LoopThread thread("serial");
  Pipe out;
  ASSERT_GT(fcntl(out.write.get(), F_SETPIPE_SZ, 4096), 0);
  Guest guest;
  Port port(thread.loop(), LogRing::create().value(), {.queue_size = 8192, .patience = {}});
  port.set_listener(&guest);
  port.attach({.reading = {}, .writing = std::move(out.write)});
  std::string text;
  for (int line = 0; line < 10'000; ++line) text += std::to_string(line) + "\n";
  std::string_view left = text;
  std::string got;
  const auto offer = [&] { left.remove_prefix(port.write(bytes(std::string(left)))); };
  offer();
  while (!left.empty()) {
    // Longer than other ports wait.
    if (got.empty()) std::this_thread::sleep_for(PortOptions().patience.value() + 100ms);
    got += read_all(out.read.get(), 4096);
    EXPECT_TRUE(guest.wait_writable());
    offer();
  }
  got += read_all(out.read.get(), text.size() - got.size());
  EXPECT_EQ(got, text);
  EXPECT_EQ(port.dropped(), 0u);
  port.set_listener(nullptr);
}

TEST(Port, LivesOnWhenTheReaderIsGone) {
  exec::LoopThread thread("serial");
  Pipe out;
  Port port(thread.loop(), LogRing::create().value());
  port.attach({.reading = {}, .writing = std::move(out.write)});
  out.read.reset();
  port.write(bytes("nobody"));
  while (port.dropped() < 6) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(port.write(bytes("listens")), 7u);
  EXPECT_EQ(port.log().read(), "nobodylistens");
}

TEST(Port, LeavesTheDescriptorsFlagsAlone) {
  exec::LoopThread thread("serial");
  Pipe in, out;
  UniqueFd in_too(dup(in.read.get())), out_too(dup(out.write.get()));
  Port port(thread.loop(), LogRing::create().value());
  port.attach({.reading = std::move(in.read), .writing = std::move(out.write)});
  EXPECT_FALSE(fcntl(in_too.get(), F_GETFL) & O_NONBLOCK);
  EXPECT_FALSE(fcntl(out_too.get(), F_GETFL) & O_NONBLOCK);
}

TEST(Port, ReadsWhatCannotBePolled) {
  exec::LoopThread thread("serial");
  char name[] = "/tmp/alcove-port-XXXXXX";
  UniqueFd file(mkstemp(name));
  unlink(name);
  const std::string script(10000, 's');
  ASSERT_EQ(pwrite(file.get(), script.data(), script.size(), 0), 10000);
  Guest guest;
  Port port(thread.loop(), LogRing::create().value());
  port.set_listener(&guest);
  port.attach({.reading = std::move(file), .writing = UniqueFd(open("/dev/null", O_WRONLY))});
  EXPECT_TRUE(guest.wait_for(script));
  port.set_listener(nullptr);
}

struct PortOfAPty : ::testing::Test {
  UniqueFd master{posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
  std::string path;
  void SetUp() override {
    if (!master) GTEST_SKIP() << "no pseudo-terminals: " << std::strerror(errno);
    ASSERT_EQ(grantpt(master.get()), 0);
    ASSERT_EQ(unlockpt(master.get()), 0);
    path = ptsname(master.get());
    termios mode{};
    ASSERT_EQ(tcgetattr(master.get(), &mode), 0);
    cfmakeraw(&mode);
    ASSERT_EQ(tcsetattr(master.get(), TCSANOW, &mode), 0);
  }
};

// Neither the port, nor the thread that it shares with others: the descriptor blocks.
TEST_F(PortOfAPty, DoesNotWaitForAReaderThatHasLeft) {
  exec::LoopThread thread("serial");
  Guest guest;
  Port port(thread.loop(), LogRing::create().value(), {.queue_size = 4096, .patience = {}});
  port.set_listener(&guest);
  port.attach(Attachment::duplex(std::move(master)));
  UniqueFd terminal(open(path.c_str(), O_RDWR | O_NOCTTY));
  ASSERT_TRUE(terminal);
  const std::string text(1000, 'x');
  const auto is_full = [&] { return port.write(bytes(text)) == 0; };
  for (int quiet = 0; quiet < 20; std::this_thread::sleep_for(5ms)) quiet = is_full() ? quiet + 1 : 0;
  terminal.reset();
  const auto deadline = std::chrono::steady_clock::now() + 5s;
  while (is_full() && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(5ms);
  EXPECT_FALSE(is_full());
  port.set_listener(nullptr);
}

TEST_F(PortOfAPty, IsServedThoughItIsOpenedAndClosedAgain) {
  exec::LoopThread thread("serial");
  Guest guest;
  Port port(thread.loop(), LogRing::create().value());
  port.set_listener(&guest);
  port.attach(Attachment::duplex(std::move(master)));
  std::string expected;
  for (const char* line : {"one\r", "two\r"}) {
    UniqueFd terminal(open(path.c_str(), O_RDWR | O_NOCTTY));
    ASSERT_TRUE(terminal);
    port.write(bytes("hello"));
    EXPECT_EQ(read_all(terminal.get(), 5), "hello");
    ASSERT_EQ(write(terminal.get(), line, 4), 4);
    expected += line;
    EXPECT_TRUE(guest.wait_for(expected));
  }
  port.set_listener(nullptr);
}

}  // namespace
}  // namespace alcove::serial
