// Memory that guests use and give back.
#include "cpu/soft/mmu/physical.h"

#include <gtest/gtest.h>

#include "cpu/soft/testing/flat_engine.h"
#include "memory/large_pages.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kLarge = memory::kLargePageSize;

struct PhysicalMemoryTest : ::testing::Test {
  testing::FlatEngine engine{0, 16 * kLarge};
  PhysicalMemory& physical = engine.engine().mmu().memory();
  memory::GuestMemory& memory = physical.memory();
};

TEST_F(PhysicalMemoryTest, GivingBackTakesNone) {
  const uint64_t before = memory.resident_size();
  memory.discard(2 * kLarge, 4 * kLarge);
  memory.discard(8 * kLarge + kLarge / 2, kLarge / 2);
  physical.on_host_write(10 * kLarge, 1);
  EXPECT_EQ(memory.resident_size(), before);
  EXPECT_FALSE(physical.has_holes(kLarge));
  EXPECT_TRUE(physical.has_holes(5 * kLarge));
  EXPECT_TRUE(physical.has_holes(8 * kLarge));
  // Nor does it take any to look at it, or to have it beside what is used.
  physical.look_up(12 * kLarge);
  physical.page_beside(2 * kLarge);
  EXPECT_EQ(memory.resident_size(), before);
}

TEST_F(PhysicalMemoryTest, WhatIsUsedAgainComesAgain) {
  const uint64_t before = memory.resident_size();
  physical.page(4 * kLarge);
  const uint64_t used = memory.resident_size();
  EXPECT_GT(used, before);
  memory.discard(4 * kLarge, kLarge);
  EXPECT_EQ(memory.resident_size(), before);
  physical.page(4 * kLarge);
  EXPECT_EQ(memory.resident_size(), used);
  EXPECT_FALSE(physical.has_holes(4 * kLarge));
  // A part of it comes page by page.
  memory.discard(4 * kLarge, kLarge / 2);
  const uint64_t part = memory.resident_size();
  EXPECT_LT(part, used);
  physical.page(4 * kLarge);
  EXPECT_EQ(memory.resident_size(), part);
  EXPECT_TRUE(physical.has_holes(4 * kLarge));
}

TEST_F(PhysicalMemoryTest, WhatWasGivenBackIsNotMadeReady) {
  memory.discard(5 * kLarge, 8 * kLarge);
  const uint64_t before = memory.resident_size();
  physical.page(3 * kLarge);
  const uint64_t one = memory.resident_size() - before;
  physical.page(4 * kLarge);
  memory.discard(4 * kLarge, kLarge);
  physical.page(4 * kLarge);
  EXPECT_EQ(memory.resident_size() - before, 2 * one);
}

}  // namespace
}  // namespace alcove::cpu::soft
