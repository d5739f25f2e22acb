#include "chips/acpi_pm.h"

#include <gtest/gtest.h>

namespace alcove::chips {
namespace {

using namespace std::chrono_literals;

struct Line final : bus::InterruptLine {
  void set(bool asserted) override { up = asserted; }
  bool up = false;
};

class AcpiPmTest : public testing::Test {
 protected:
  template <class T>
  void out(uint64_t offset, T value) {
    EXPECT_EQ(pm.write(offset, std::as_bytes(std::span(&value, 1))), bus::Access::done);
  }
  template <class T>
  T in(uint64_t offset) {
    T value = 0;
    EXPECT_EQ(pm.read(offset, std::as_writable_bytes(std::span(&value, 1))), bus::Access::done);
    return value;
  }
  exec::ManualClock clock;
  Line sci;
  int offs = 0;
  AcpiPm pm{clock, sci, [this] { ++offs; }};
};

TEST_F(AcpiPmTest, PowerButtonRaisesSciUntilCleared) {
  pm.press_power_button();
  EXPECT_FALSE(sci.up);
  EXPECT_EQ(in<uint16_t>(0), 0x100);
  out<uint16_t>(2, 0x100);
  EXPECT_TRUE(sci.up);
  out<uint16_t>(0, 0x100);
  EXPECT_FALSE(sci.up);
  EXPECT_EQ(in<uint16_t>(0), 0);
}

TEST_F(AcpiPmTest, SleepTypesOfS5PowerOff) {
  EXPECT_EQ(in<uint16_t>(4), 1);
  out<uint16_t>(4, 5 << 10 | 1);
  EXPECT_EQ(offs, 0);
  out<uint16_t>(4, 4 << 10 | 1 << 13);
  EXPECT_EQ(offs, 0);
  out<uint16_t>(4, 5 << 10 | 1 << 13);
  EXPECT_EQ(offs, 1);
  EXPECT_EQ(in<uint16_t>(4), 5 << 10 | 1);
  out<uint16_t>(4, 1 << 13);
  EXPECT_EQ(offs, 2);
}

TEST_F(AcpiPmTest, TimerRunsAtItsFrequency) {
  const uint32_t before = in<uint32_t>(8);
  clock.advance(1s);
  EXPECT_EQ(in<uint32_t>(8) - before, 3'579'545u);
}

TEST_F(AcpiPmTest, TimerCarryInterruptsWhenEnabled) {
  out<uint16_t>(2, 1);
  clock.advance(590s);
  EXPECT_FALSE(sci.up);
  clock.advance(20s);  // The top bit changes every 599.9 s.
  EXPECT_TRUE(sci.up);
  EXPECT_EQ(in<uint16_t>(0), 1);
  out<uint16_t>(0, 1);
  EXPECT_FALSE(sci.up);
  clock.advance(600s);
  EXPECT_TRUE(sci.up);
}

TEST_F(AcpiPmTest, BytesAndWholeBlockAccess) {
  out<uint8_t>(3, 0x01);
  EXPECT_EQ(in<uint16_t>(2), 0x100);
  pm.press_power_button();
  EXPECT_EQ(in<uint32_t>(0), 0x01000100u);
  out<uint32_t>(0, 0x01000100u);
  EXPECT_EQ(in<uint32_t>(0), 0x01000000u);
  uint16_t value;
  EXPECT_EQ(pm.read(1, std::as_writable_bytes(std::span(&value, 1))), bus::Access::bad_size);
}

TEST_F(AcpiPmTest, GeneralEventsRaiseSciUntilCleared) {
  pm.raise_general_event(1);
  EXPECT_FALSE(sci.up);
  EXPECT_EQ(in<uint8_t>(12), 2);
  out<uint8_t>(14, 6);
  EXPECT_TRUE(sci.up);
  pm.raise_general_event(9);
  EXPECT_EQ(in<uint16_t>(12), 0x202);
  out<uint8_t>(12, 2);
  EXPECT_FALSE(sci.up);
  EXPECT_EQ(in<uint32_t>(12), 0x0006'0200u);
  out<uint8_t>(15, 2);
  EXPECT_TRUE(sci.up);
  out<uint16_t>(12, 0xffff);
  EXPECT_FALSE(sci.up);
  EXPECT_EQ(in<uint32_t>(12), 0x0206'0000u);
}

TEST_F(AcpiPmTest, ResetDropsTheInterrupt) {
  out<uint16_t>(2, 0x100);
  out<uint16_t>(14, 2);
  pm.press_power_button();
  pm.raise_general_event(1);
  pm.reset();
  EXPECT_EQ(in<uint32_t>(12), 0u);
  EXPECT_FALSE(sci.up);
  EXPECT_EQ(in<uint32_t>(0), 0u);
}

}  // namespace
}  // namespace alcove::chips
