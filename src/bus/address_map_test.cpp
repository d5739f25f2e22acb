#include "bus/address_map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace alcove::bus {
namespace {

// Answers with the offset; has no register at 4.
struct FakeDevice final : Device {
  Access read(uint64_t offset, std::span<std::byte> data) override {
    if (offset == 4) return Access::no_register;
    std::ranges::fill(data, std::byte{static_cast<uint8_t>(offset)});
    return Access::done;
  }
  Access write(uint64_t offset, std::span<const std::byte>) override {
    last_write = offset;
    return Access::done;
  }
  uint64_t last_write = ~uint64_t{0};
};

struct AddressMapTest : testing::Test {
  AddressMap map;
  FakeDevice low, high;

  AddressMapTest() {
    EXPECT_TRUE(map.add(0x100, 8, low, "low"));
    EXPECT_TRUE(map.add(~uint64_t{0} - 7, 8, high, "high"));  // Up to the last address.
  }
  uint32_t read(uint64_t address, size_t size) {
    std::array<std::byte, 4> bytes{};
    map.read(address, std::span(bytes).first(size));
    uint32_t value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
};

TEST_F(AddressMapTest, RoutesToTheWindowThatHoldsTheAccess) {
  EXPECT_EQ(read(0x100, 1), 0u);
  EXPECT_EQ(read(0x103, 2), 0x0303u);
  EXPECT_EQ(read(0x107, 1), 7u);
  EXPECT_EQ(read(~uint64_t{0}, 1), 7u);
  map.write(0x105, std::array<std::byte, 2>{});
  EXPECT_EQ(low.last_write, 5u);
}

TEST_F(AddressMapTest, ReadsOnesWhereNothingAnswers) {
  EXPECT_EQ(read(0xff, 1), 0xffu);
  EXPECT_EQ(read(0x108, 1), 0xffu);
  EXPECT_EQ(read(0x106, 4), 0xffffffffu) << "over the end of a window";
  EXPECT_EQ(read(0xfe, 4), 0xffffffffu) << "over its beginning";
  EXPECT_EQ(read(0x104, 4), 0xffffffffu) << "no register";
  EXPECT_EQ(read(~uint64_t{0}, 4), 0xffffffffu) << "wraps";
  map.write(0x106, std::array<std::byte, 4>{});
  EXPECT_EQ(low.last_write, ~uint64_t{0});
}

TEST_F(AddressMapTest, RefusesWindowsThatOverlapAreEmptyOrWrap) {
  FakeDevice other;
  EXPECT_FALSE(map.add(0x107, 1, other, "inside"));
  EXPECT_FALSE(map.add(0xf0, 0x11, other, "over the beginning"));
  EXPECT_FALSE(map.add(0xf0, 0x100, other, "around"));
  EXPECT_FALSE(map.add(0x200, 0, other, "empty"));
  EXPECT_FALSE(map.add(~uint64_t{0}, 2, other, "wraps"));
  EXPECT_EQ(map.windows().size(), 2u);
  EXPECT_TRUE(map.add(0x108, 8, other, "behind"));
  EXPECT_TRUE(map.add(0xf8, 8, other, "before"));
  EXPECT_EQ(read(0x109, 1), 1u);
}

}  // namespace
}  // namespace alcove::bus
