#include "chips/uart.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

namespace alcove::chips {
namespace {

namespace uart = spec::uart16550;
using namespace std::chrono_literals;

struct Line final : bus::InterruptLine {
  void set(bool on) override {
    asserted = on;
    if (on) ++rises;
  }
  std::atomic<bool> asserted = false;
  std::atomic<int> rises = 0;
};

class UartTest : public testing::Test {
 protected:
  uint8_t read(uint64_t offset) {
    std::byte value{0xee};
    EXPECT_EQ(chip.read(offset, std::span(&value, 1)), bus::Access::done);
    return std::to_integer<uint8_t>(value);
  }
  void write(uint64_t offset, uint8_t value) {
    EXPECT_EQ(chip.write(offset, std::as_bytes(std::span(&value, 1))), bus::Access::done);
  }
  void print(std::string_view text) {
    for (char c : text) write(uart::kData, static_cast<uint8_t>(c));
  }
  size_t type(std::string_view text) { return chip.receive(std::as_bytes(std::span(text))); }
  uint8_t id() { return read(uart::kInterruptIdentification) & 0x0f; }

  exec::LoopThread thread{"serial"};
  serial::Port port{thread.loop(), LogRing::create().value(), {.queue_size = 4, .patience = 10s}};
  Line line;
  Uart chip{port, line};
};

TEST_F(UartTest, PrintsFromTheFirstInstruction) {
  EXPECT_EQ(read(uart::kLineStatus), 0x60);
  print("earlyprintk");
  EXPECT_EQ(port.log().read(), "earlyprintk");
  EXPECT_FALSE(line.asserted);
}

TEST_F(UartTest, IsFoundToBeA16550AAndNothingLater) {
  write(uart::kInterruptEnable, 0);
  EXPECT_EQ(read(uart::kInterruptEnable), 0);
  write(uart::kInterruptEnable, 0xff);
  EXPECT_EQ(read(uart::kInterruptEnable), 0x0f);  // Bit 6 would mean an XScale's.
  write(uart::kInterruptEnable, 0);
  write(uart::kFifoControl, 0x01);
  EXPECT_EQ(read(uart::kInterruptIdentification) & 0xe0, 0xc0);  // Bit 5 would mean 64-byte FIFOs.
  write(uart::kFifoControl, 0);
  EXPECT_EQ(read(uart::kInterruptIdentification), 0x01);
  write(uart::kScratch, 0x5a);
  EXPECT_EQ(read(uart::kScratch), 0x5a);
  write(uart::kLineControl, 0x83);
  write(uart::kData, 1);
  write(uart::kInterruptEnable, 2);
  EXPECT_EQ(read(uart::kData), 1);
  EXPECT_EQ(read(uart::kInterruptEnable), 2);
  write(uart::kLineControl, 0x03);
  EXPECT_EQ(read(uart::kInterruptEnable), 0);
  EXPECT_EQ(port.log().read(), "");
}

TEST_F(UartTest, LoopsBackBytesAndModemLines) {
  EXPECT_EQ(read(uart::kModemStatus) & 0xf0, 0xb0);
  write(uart::kModemControl, uart::kModemLoopback | 0x0a);
  EXPECT_EQ(read(uart::kModemStatus) & 0xf0, 0x90);
  write(uart::kFifoControl, 0x07);
  print("0123456789abcdefX");
  EXPECT_EQ(read(uart::kLineStatus) & 0x03, 0x03);  // The seventeenth byte overran.
  EXPECT_EQ(read(uart::kLineStatus) & 0x02, 0);
  EXPECT_EQ(type("host"), 0u);
  for (char c : std::string("0123456789abcdef")) EXPECT_EQ(read(uart::kData), c);
  write(uart::kModemControl, 0);
  EXPECT_EQ(port.log().read(), "");
  EXPECT_EQ(type("host"), 4u);
}

TEST_F(UartTest, RaisesTransmitterEmptyEachTimeItIsEnabledAndAfterEachByte) {
  write(uart::kModemControl, uart::kModemOut2);
  for (int i = 1; i <= 2; ++i) {
    write(uart::kInterruptEnable, uart::kEnableTransmitterEmpty);
    EXPECT_TRUE(line.asserted);
    EXPECT_EQ(line.rises, i);
    EXPECT_EQ(id(), uart::kIdTransmitterEmpty);
    EXPECT_FALSE(line.asserted);
    EXPECT_EQ(id(), uart::kIdNone);
    write(uart::kInterruptEnable, 0);
  }
  write(uart::kInterruptEnable, uart::kEnableTransmitterEmpty);
  write(uart::kData, 'a');
  write(uart::kData, 'b');
  EXPECT_EQ(line.rises, 5);
  EXPECT_TRUE(line.asserted);
  write(uart::kModemControl, 0);  // OUT2 closes the gate.
  EXPECT_FALSE(line.asserted);
}

TEST_F(UartTest, RaisesReceivedDataByTriggerLevelOrTimeout) {
  write(uart::kModemControl, uart::kModemOut2);
  write(uart::kFifoControl, 0x41);  // Four bytes.
  write(uart::kInterruptEnable, uart::kEnableReceived);
  EXPECT_EQ(type("abc"), 3u);
  EXPECT_TRUE(line.asserted);
  EXPECT_EQ(id(), uart::kIdReceiveTimeout);
  EXPECT_EQ(type("defghijklmnopqrstu"), 13u);
  EXPECT_EQ(id(), uart::kIdReceived);
  for (char c : std::string("abcdefghijklmnop")) {
    EXPECT_TRUE(line.asserted);
    EXPECT_EQ(read(uart::kLineStatus) & 1, 1);
    EXPECT_EQ(read(uart::kData), c);
  }
  EXPECT_FALSE(line.asserted);
  EXPECT_EQ(read(uart::kLineStatus) & 1, 0);
  EXPECT_EQ(id(), uart::kIdNone);
}

TEST_F(UartTest, GetsAllInputThroughItsSmallFifo) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  UniqueFd mine(ends[0]);
  port.attach(serial::Attachment::duplex(UniqueFd(ends[1])));
  write(uart::kFifoControl, 0x01);
  std::string sent, got;
  for (int i = 0; i < 1000; ++i) sent += static_cast<char>('a' + i % 26);
  ASSERT_EQ(::write(mine.get(), sent.data(), sent.size()), 1000);
  const auto limit = exec::Clock::now() + 10s;
  while (got.size() < sent.size() && exec::Clock::now() < limit) {
    if (read(uart::kLineStatus) & 1) got += static_cast<char>(read(uart::kData));
  }
  EXPECT_EQ(got, sent);
}

TEST_F(UartTest, ShowsAFullTransmitterWhileThePortTakesNothing) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd out(ends[0]);
  ASSERT_GT(fcntl(ends[1], F_SETPIPE_SZ, 4096), 0);
  port.attach({.reading = {}, .writing = UniqueFd(ends[1])});
  write(uart::kFifoControl, 0x01);
  size_t printed = 0;
  const auto limit = exec::Clock::now() + 10s;
  auto full_since = exec::Clock::now();
  // A transmitter that stays full for this long is one whose pipe is full, not one that the port's thread
  // serves.
  while (exec::Clock::now() - full_since < 100ms && exec::Clock::now() < limit) {
    if (!(read(uart::kLineStatus) & uart::kStatusHoldingEmpty)) {
      std::this_thread::yield();
      continue;
    }
    write(uart::kData, 'x');
    ++printed;
    full_since = exec::Clock::now();
  }
  EXPECT_GE(printed, 4096u);
  EXPECT_FALSE(read(uart::kLineStatus) & uart::kStatusHoldingEmpty);
  std::string sink(printed, 0);
  size_t got = 0;
  while (got < printed) {
    const ssize_t size = ::read(out.get(), sink.data(), sink.size());
    ASSERT_GT(size, 0);
    got += static_cast<size_t>(size);
  }
  while (!(read(uart::kLineStatus) & uart::kStatusHoldingEmpty)) std::this_thread::yield();
  EXPECT_EQ(got, printed);
}

TEST_F(UartTest, RefusesOtherSizesAndRegisters) {
  std::array<std::byte, 2> two{};
  EXPECT_EQ(chip.read(0, two), bus::Access::bad_size);
  EXPECT_EQ(chip.write(0, two), bus::Access::bad_size);
  EXPECT_EQ(chip.read(8, std::span(two).first(1)), bus::Access::no_register);
}

}  // namespace
}  // namespace alcove::chips
