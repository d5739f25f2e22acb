#include "chips/pit.h"

#include <gtest/gtest.h>

namespace alcove::chips {
namespace {

using namespace std::chrono_literals;

struct Counter final : bus::InterruptLine {
  void set(bool asserted) override {
    if (asserted && !up) ++rises;
    up = asserted;
  }
  bool up = false;
  int rises = 0;
};

class PitTest : public testing::Test {
 protected:
  void out(bus::Device& device, uint64_t offset, uint8_t value) {
    EXPECT_EQ(device.write(offset, std::as_bytes(std::span(&value, 1))), bus::Access::done);
  }
  uint8_t in(bus::Device& device, uint64_t offset) {
    uint8_t value = 0;
    EXPECT_EQ(device.read(offset, std::as_writable_bytes(std::span(&value, 1))), bus::Access::done);
    return value;
  }
  void command(uint8_t value) { out(pit.ports(), 3, value); }
  void count(unsigned channel, uint16_t value) {
    out(pit.ports(), channel, static_cast<uint8_t>(value));
    out(pit.ports(), channel, static_cast<uint8_t>(value >> 8));
  }
  uint16_t read(unsigned channel) {
    const uint8_t low = in(pit.ports(), channel);
    return static_cast<uint16_t>(low | in(pit.ports(), channel) << 8);
  }
  void advance_ticks(uint64_t ticks) {
    // To the middle of the tick, so that rounding does not matter.
    total += ticks;
    const auto target = exec::Nanoseconds((total * 2 + 1) * 1'000'000'000 / 2 / PitChannel::kFrequency);
    clock.advance(target - clock.now());
  }

  exec::ManualClock clock;
  Counter line;
  Pit pit{clock, line};
  uint64_t total = 0;
};

TEST_F(PitTest, RateGeneratorInterruptsPeriodically) {
  command(0x34);
  count(0, 4773);  // 250 Hz
  clock.advance(1s);
  EXPECT_NEAR(line.rises, 250, 1);
  count(0, 11932);
  line.rises = 0;
  clock.advance(1s);
  EXPECT_NEAR(line.rises, 100, 1);
}

TEST_F(PitTest, OneShotInterruptsOnce) {
  command(0x38);
  count(0, 1193);
  clock.advance(900us);
  EXPECT_EQ(line.rises, 0);
  clock.advance(200us);
  EXPECT_EQ(line.rises, 1);
  clock.advance(1s);
  EXPECT_EQ(line.rises, 1);
  count(0, 1193);
  clock.advance(2ms);
  EXPECT_EQ(line.rises, 2);
}

TEST_F(PitTest, ControlWordStopsTheTimer) {
  command(0x34);
  count(0, 1193);
  command(0x30);
  clock.advance(1s);
  EXPECT_EQ(line.rises, 0);
}

TEST_F(PitTest, FastestRateIsBounded) {
  command(0x14);
  out(pit.ports(), 0, 1);
  clock.advance(10ms);
  EXPECT_GT(line.rises, 100);
  EXPECT_LE(line.rises, 201);
}

// How kernels calibrate their time stamp counter.
TEST_F(PitTest, ChannelTwoIsGatedAndItsOutputReadable) {
  out(pit.control_port(), 0, 0);
  command(0xb0);
  count(2, 11932);  // 10 ms
  clock.advance(20ms);
  EXPECT_FALSE(in(pit.control_port(), 0) & 0x20);
  out(pit.control_port(), 0, 1);
  clock.advance(9900us);
  EXPECT_FALSE(in(pit.control_port(), 0) & 0x20);
  clock.advance(200us);
  EXPECT_EQ(in(pit.control_port(), 0) & 0x23, 0x21);
}

TEST_F(PitTest, CountsDownAndLatches) {
  out(pit.control_port(), 0, 1);
  advance_ticks(0);
  command(0xb0);
  count(2, 0xffff);
  advance_ticks(10);
  EXPECT_EQ(read(2), 0xffff - 10);
  command(0x80);
  advance_ticks(5);
  EXPECT_EQ(read(2), 0xffff - 10);
  EXPECT_EQ(read(2), 0xffff - 15);
}

TEST_F(PitTest, ReadBackGivesStatusThenCount) {
  out(pit.control_port(), 0, 1);
  advance_ticks(0);
  command(0xb6);
  count(2, 1000);
  advance_ticks(100);
  command(0xc8);
  EXPECT_EQ(in(pit.ports(), 2), 0xb6);
  EXPECT_EQ(read(2), 800);
}

TEST_F(PitTest, CountsInDecimal) {
  out(pit.control_port(), 0, 1);
  advance_ticks(0);
  command(0xb1);
  count(2, 0x1000);
  advance_ticks(1);
  EXPECT_EQ(read(2), 0x0999);
}

}  // namespace
}  // namespace alcove::chips
