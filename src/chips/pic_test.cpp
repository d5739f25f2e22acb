#include "chips/pic.h"

#include <gtest/gtest.h>

namespace alcove::chips {
namespace {

void out(bus::Device& chip, uint64_t offset, uint8_t value) {
  EXPECT_EQ(chip.write(offset, std::as_bytes(std::span(&value, 1))), bus::Access::done);
}
uint8_t in(bus::Device& chip, uint64_t offset) {
  uint8_t value = 0;
  EXPECT_EQ(chip.read(offset, std::as_writable_bytes(std::span(&value, 1))), bus::Access::done);
  return value;
}

TEST(Pic, ReadsBackItsMask) {
  Pic pic;
  out(pic, 1, 0xfb);
  EXPECT_EQ(in(pic, 1), 0xfb);
}

TEST(Pic, InitialisationWordsAreNotMasks) {
  Pic pic;
  out(pic, 1, 0xff);
  out(pic, 0, 0x11);
  out(pic, 1, 0x30);
  out(pic, 1, 0x04);
  out(pic, 1, 0x01);
  EXPECT_EQ(in(pic, 1), 0);
  out(pic, 1, 0xff);
  EXPECT_EQ(in(pic, 1), 0xff);
  EXPECT_EQ(in(pic, 0), 0);
}

TEST(EdgeLevelControl, KeepsWhatMayBeLevel) {
  EdgeLevelControl elcr;
  out(elcr, 0, 0xff);
  out(elcr, 1, 0x02);
  EXPECT_EQ(in(elcr, 0), 0xf8);
  EXPECT_EQ(in(elcr, 1), 0x02);
}

}  // namespace
}  // namespace alcove::chips
