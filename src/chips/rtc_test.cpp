#include "chips/rtc.h"

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

class RtcTest : public testing::Test {
 protected:
  RtcTest() { clock.set_wall(1'000'000'000s + 100ms); }  // 2001-09-09 01:46:40, a Sunday.
  void set(uint8_t index, uint8_t value) {
    EXPECT_EQ(rtc.write(0, std::as_bytes(std::span(&index, 1))), bus::Access::done);
    EXPECT_EQ(rtc.write(1, std::as_bytes(std::span(&value, 1))), bus::Access::done);
  }
  uint8_t get(uint8_t index) {
    uint8_t value = 0;
    EXPECT_EQ(rtc.write(0, std::as_bytes(std::span(&index, 1))), bus::Access::done);
    EXPECT_EQ(rtc.read(1, std::as_writable_bytes(std::span(&value, 1))), bus::Access::done);
    return value;
  }
  std::vector<int> now() { return {get(0x32), get(9), get(8), get(7), get(4), get(2), get(0)}; }

  exec::ManualClock clock;
  Counter line;
  Rtc rtc{clock, line};
};

TEST_F(RtcTest, ShowsTheHostsTimeInDecimalDigits) {
  EXPECT_EQ(now(), (std::vector<int>{0x20, 0x01, 0x09, 0x09, 0x01, 0x46, 0x40}));
  EXPECT_EQ(get(6), 1);
  EXPECT_EQ(get(0x0d), 0x80);
  clock.advance(20s);
  EXPECT_EQ(get(0), 0x00);
  EXPECT_EQ(get(2), 0x47);
}

TEST_F(RtcTest, BinaryAndTwelveHours) {
  set(0x0b, 0x04);
  clock.advance(12h);
  EXPECT_EQ(get(4), 0x80 | 1);
  EXPECT_EQ(get(2), 46);
}

TEST_F(RtcTest, FlagsTheComingUpdate) {
  EXPECT_EQ(get(0x0a), 0x26);
  clock.advance(899'900us);
  EXPECT_EQ(get(0x0a), 0xa6);
  clock.advance(200us);
  EXPECT_EQ(get(0x0a), 0x26);
}

TEST_F(RtcTest, KeepsTheTimeTheGuestSets) {
  set(0x0b, 0x82);
  for (auto [index, value] : std::vector<std::pair<int, int>>{
           {0x32, 0x19}, {9, 0x99}, {8, 0x12}, {7, 0x31}, {4, 0x23}, {2, 0x59}, {0, 0x58}}) {
    set(static_cast<uint8_t>(index), static_cast<uint8_t>(value));
  }
  clock.advance(10s);
  EXPECT_EQ(get(0), 0x58);
  set(0x0b, 0x02);
  clock.advance(3s);
  EXPECT_EQ(now(), (std::vector<int>{0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x01}));
}

TEST_F(RtcTest, NonsenseDateIsHarmless) {
  set(0x0b, 0x86);
  for (int index : {0, 2, 4, 6, 7, 8, 9, 0x32}) set(static_cast<uint8_t>(index), 0xff);
  set(0x0b, 0x06);
  clock.advance(1s);
  EXPECT_LT(get(0), 60);
  EXPECT_LE(get(8), 12);
}

TEST_F(RtcTest, AlarmAndUpdateInterrupt) {
  set(1, 0x42);
  set(3, 0x46);
  set(5, 0xff);
  set(0x0b, 0x22);
  clock.advance(1500ms);
  EXPECT_EQ(line.rises, 0);
  clock.advance(1s);
  EXPECT_EQ(line.rises, 1);
  EXPECT_EQ(get(0x0c), 0xb0);
  EXPECT_FALSE(line.up);
  EXPECT_EQ(get(0x0c), 0);
  set(0x0b, 0x12);
  clock.advance(1s);
  EXPECT_EQ(line.rises, 2);
}

TEST_F(RtcTest, PeriodicInterruptAtItsRate) {
  set(0x0a, 0x2a);  // 64 Hz
  set(0x0b, 0x42);
  for (int i = 0; i < 1000; ++i) {
    clock.advance(1ms);
    if (line.up) get(0x0c);
  }
  EXPECT_NEAR(line.rises, 64, 1);
  rtc.reset();
  line.rises = 0;
  clock.advance(1s);
  EXPECT_EQ(line.rises, 0);
}

TEST_F(RtcTest, MemoryIsKept) {
  set(0x40, 0x5a);
  rtc.reset();
  EXPECT_EQ(get(0x40), 0x5a);
}

}  // namespace
}  // namespace alcove::chips
