#include "machine/memory_layout.h"

#include <gtest/gtest.h>

namespace alcove::machine {
namespace {

constexpr uint64_t kGiB = 1 << 30;

TEST(MemoryLayout, WindowGoesToTheEndOfWhatProcessorsAddress) {
  for (const unsigned bits : {36u, 39u, 40u, 46u, 52u}) {
    const auto layout = lay_out_memory(2 * kGiB, bits);
    ASSERT_TRUE(layout);
    EXPECT_EQ(layout->high_size, 0u);
    EXPECT_EQ(layout->pci_window64, 32 * kGiB);
    EXPECT_EQ(layout->pci_window64_end, uint64_t{1} << bits);
  }
  const auto large = lay_out_memory(100 * kGiB, 39);
  ASSERT_TRUE(large);
  EXPECT_EQ(large->low_size + large->high_size, 100 * kGiB);
  EXPECT_EQ(large->pci_window64, 128 * kGiB);
}

TEST(MemoryLayout, HasNoWindowWhereMemoryTakesItAll) {
  const auto layout = lay_out_memory(50 * kGiB, 36);
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->pci_window64, 64 * kGiB);
  EXPECT_EQ(layout->pci_window64_end, 64 * kGiB);
}

TEST(MemoryLayout, RefusesMemoryThatProcessorsDoNotReach) {
  const uint64_t most = 64 * kGiB - (layout::kHighMemory - layout::kLowMemoryEnd);
  EXPECT_TRUE(lay_out_memory(most, 36));
  const auto layout = lay_out_memory(most + (1 << 20), 36);
  ASSERT_FALSE(layout);
  EXPECT_EQ(layout.error().where, "memory_size");
}

}  // namespace
}  // namespace alcove::machine
