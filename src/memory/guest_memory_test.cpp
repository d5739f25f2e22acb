#include "memory/guest_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace alcove::memory {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// 1 MiB from 0, 1 MiB of ROM right behind it, a gap, and 1 MiB up to the end of the address space.
constexpr RegionSpec kRegions[] = {{.guest_address = 0, .size = kMiB},
                                   {.guest_address = kMiB, .size = kMiB, .read_only = true},
                                   {.guest_address = ~uint64_t{0} - kMiB + 1, .size = kMiB}};

struct GuestMemoryTest : testing::Test {
  GuestMemory memory = GuestMemory::create(kRegions).value();
  std::array<std::byte, 16> bytes{};
};

TEST_F(GuestMemoryTest, FindsWhatOneRegionHolds) {
  EXPECT_EQ(memory.find(0, kMiB), &memory.regions()[0]);
  EXPECT_EQ(memory.find(kMiB - 1, 1), &memory.regions()[0]);
  EXPECT_EQ(memory.find(kMiB, 1), &memory.regions()[1]);
  EXPECT_EQ(memory.find(~uint64_t{0}, 1), &memory.regions()[2]);
  EXPECT_EQ(memory.find(kMiB - 1, 2), nullptr) << "over the end of a region";
  EXPECT_EQ(memory.find(2 * kMiB, 1), nullptr) << "in a gap";
  EXPECT_EQ(memory.find(~uint64_t{0}, 2), nullptr) << "wraps";
  EXPECT_EQ(memory.find(1, ~uint64_t{0}), nullptr);
  EXPECT_EQ(memory.total_size(), 3 * kMiB);
}

TEST_F(GuestMemoryTest, ReadsWhatWasWritten) {
  EXPECT_TRUE(memory.store<uint32_t>(0x1002, 0x11223344));  // Not aligned.
  EXPECT_EQ(memory.load<uint32_t>(0x1002), 0x11223344u);
  EXPECT_EQ(memory.load<uint8_t>(0x1002), 0x44);
  for (const uint64_t size : {1, 2, 4, 8, 3, 16}) {
    std::ranges::fill(bytes, std::byte{static_cast<uint8_t>(size)});
    EXPECT_TRUE(memory.write(0x2000, std::span(bytes).first(size)));
    std::array<std::byte, 16> read{};
    EXPECT_TRUE(memory.read(0x2000, std::span(read).first(size)));
    EXPECT_TRUE(std::equal(read.begin(), read.begin() + static_cast<ptrdiff_t>(size), bytes.begin()));
  }
}

TEST_F(GuestMemoryTest, RefusesWhatLeavesARegion) {
  EXPECT_FALSE(memory.read(2 * kMiB, bytes));
  EXPECT_FALSE(memory.read(2 * kMiB - 8, bytes));
  bytes.fill(std::byte{0x5a});
  EXPECT_FALSE(memory.write(kMiB - 8, bytes));
  EXPECT_EQ(memory.load<uint64_t>(kMiB - 8), 0u) << "nothing was written";
  EXPECT_FALSE(memory.load<uint64_t>(~uint64_t{0} - 3));
  EXPECT_FALSE(memory.store<uint64_t>(~uint64_t{0} - 3, 1));
}

TEST_F(GuestMemoryTest, WritesNothingWithoutBytes) {
  EXPECT_TRUE(memory.read(0, {}));
  EXPECT_TRUE(memory.write(0, {}));
  EXPECT_FALSE(memory.read(2 * kMiB, {}));
}

TEST_F(GuestMemoryTest, OnlyTheHostWritesReadOnlyRegions) {
  EXPECT_FALSE(memory.store<uint8_t>(kMiB, 1));
  EXPECT_EQ(memory.load<uint8_t>(kMiB), 0);
  bytes.fill(std::byte{7});
  EXPECT_TRUE(memory.write(kMiB, bytes, true));
  EXPECT_EQ(memory.load<uint8_t>(kMiB), 7);
}

TEST_F(GuestMemoryTest, DiscardGivesWholePagesBack) {
  for (uint64_t page = 0; page < 4; ++page) EXPECT_TRUE(memory.store<uint64_t>(page * kPageSize, 1));
  const uint64_t before = memory.resident_size();
  memory.discard(1, 3 * kPageSize);  // Holds pages 1 and 2; 0 in part.
  EXPECT_EQ(memory.resident_size(), before - 2 * kPageSize);
  EXPECT_EQ(memory.load<uint64_t>(0), 1u);
  EXPECT_EQ(memory.load<uint64_t>(kPageSize), 0u);
  EXPECT_EQ(memory.load<uint64_t>(2 * kPageSize), 0u);
  EXPECT_EQ(memory.load<uint64_t>(3 * kPageSize), 1u);
  memory.discard(0, 4 * kMiB);  // No region holds this: nothing happens.
  EXPECT_EQ(memory.load<uint64_t>(0), 1u);
}

TEST_F(GuestMemoryTest, TellsTheObserverOfWrites) {
  struct Observer final : WriteObserver {
    void on_host_write(uint64_t address, uint64_t size) override { seen.emplace_back(address, size); }
    std::vector<std::pair<uint64_t, uint64_t>> seen;
  } observer;
  memory.set_write_observer(&observer);
  EXPECT_TRUE(memory.store<uint32_t>(0x100, 1));
  EXPECT_FALSE(memory.store<uint32_t>(2 * kMiB, 1));
  memory.discard(0x1800, 0x2000);
  memory.mark_written(0x42, 7);
  EXPECT_EQ(observer.seen,
            (std::vector<std::pair<uint64_t, uint64_t>>{{0x100, 4}, {0x2000, 0x1000}, {0x42, 7}}));
}

TEST(GuestMemory, RefusesRegionsThatCannotBe) {
  const auto refused = [](std::vector<RegionSpec> regions) { return !GuestMemory::create(regions); };
  EXPECT_TRUE(refused({{.guest_address = 0, .size = 0}}));
  EXPECT_TRUE(refused({{.guest_address = 1, .size = kPageSize}}));
  EXPECT_TRUE(refused({{.guest_address = 0, .size = kPageSize + 1}}));
  EXPECT_TRUE(refused({{.guest_address = ~uint64_t{0} - kPageSize + 1, .size = 2 * kPageSize}}));
  EXPECT_TRUE(refused({{.guest_address = kMiB, .size = kMiB}, {.guest_address = 0, .size = kMiB}}));
  EXPECT_TRUE(refused({{.guest_address = 0, .size = kMiB}, {.guest_address = kPageSize, .size = kMiB}}));
}

}  // namespace
}  // namespace alcove::memory
