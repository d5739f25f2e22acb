#include "chips/reset_control.h"

#include <gtest/gtest.h>

namespace alcove::chips {
namespace {

class ResetControlTest : public testing::Test {
 protected:
  void out(bus::Device& port, uint8_t value) {
    EXPECT_EQ(port.write(0, std::as_bytes(std::span(&value, 1))), bus::Access::done);
  }
  uint8_t in(bus::Device& port) {
    uint8_t value = 0xee;
    EXPECT_EQ(port.read(0, std::as_writable_bytes(std::span(&value, 1))), bus::Access::done);
    return value;
  }
  int resets = 0;
  ResetControl control{[this] { ++resets; }};
};

TEST_F(ResetControlTest, ResetRegisterActsOnItsCommandBit) {
  out(control.reset_port(), 0x02);
  EXPECT_EQ(resets, 0);
  EXPECT_EQ(in(control.reset_port()), 0x02);
  out(control.reset_port(), ResetControl::kResetValue);
  EXPECT_EQ(resets, 1);
}

TEST_F(ResetControlTest, KeyboardPulseResets) {
  EXPECT_EQ(in(control.keyboard_port()), 0xc0);  // No keyboard, and nothing to wait for.
  out(control.keyboard_port(), 0xd1);
  EXPECT_EQ(resets, 0);
  out(control.keyboard_port(), 0xfe);
  EXPECT_EQ(resets, 1);
}

TEST_F(ResetControlTest, FastResetKeepsAddressLineOpen) {
  EXPECT_EQ(in(control.fast_port()), 2);
  out(control.fast_port(), 2);
  EXPECT_EQ(resets, 0);
  out(control.fast_port(), 3);
  EXPECT_EQ(resets, 1);
}

}  // namespace
}  // namespace alcove::chips
