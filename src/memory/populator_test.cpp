#include "memory/populator.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <chrono>
#include <thread>

#include "memory/large_pages.h"

namespace alcove::memory {
namespace {

constexpr size_t kPages = 8;

struct PopulatorTest : ::testing::Test {
  PopulatorTest() {
    constexpr size_t kSize = (kPages + 1) * kLargePageSize;
    mapped_ =
        mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT_NE(mapped_, MAP_FAILED);
    auto* const begin = static_cast<std::byte*>(mapped_);
    pages = begin + -reinterpret_cast<uintptr_t>(begin) % kLargePageSize;
    madvise(pages, kPages * kLargePageSize, MADV_HUGEPAGE);
  }
  ~PopulatorTest() override { munmap(mapped_, (kPages + 1) * kLargePageSize); }

  std::byte* page(size_t number) { return pages + number * kLargePageSize; }
  bool is_there(size_t number) {
    unsigned char resident = 0;
    EXPECT_EQ(mincore(page(number), 4096, &resident), 0);
    return resident & 1;
  }
  bool comes(size_t number) {
    for (int i = 0; i < 5000 && !is_there(number); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return is_there(number);
  }

  std::byte* pages = nullptr;

 private:
  void* mapped_ = nullptr;
};

TEST_F(PopulatorTest, ProvidesWhatIsAskedForAlone) {
  Populator populator;
  populator.ask(page(1));
  populator.ask(page(5));
  populator.ask(page(5));
  EXPECT_TRUE(comes(1));
  EXPECT_TRUE(comes(5));
  for (const size_t other : {0, 2, 3, 4, 6, 7}) EXPECT_FALSE(is_there(other)) << other;
}

TEST_F(PopulatorTest, NothingHappensAfterAClaim) {
  Populator populator;
  for (size_t i = 0; i < kPages; ++i) populator.ask(page(i));
  for (size_t i = 0; i < kPages; ++i) populator.claim(page(i));
  madvise(pages, kPages * kLargePageSize, MADV_DONTNEED);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (size_t i = 0; i < kPages; ++i) EXPECT_FALSE(is_there(i)) << i;
}

TEST_F(PopulatorTest, EndsWithOpenWishes) {
  Populator populator;
  for (int round = 0; round < 10; ++round)
    for (size_t i = 0; i < kPages; ++i) populator.ask(page(i));
}

TEST_F(PopulatorTest, FilledMemoryIsOnePageAheadFromTheMiddleOn) {
  Populator populator;
  FilledMemory filled(populator, page(0), 3 * kLargePageSize);
  filled.used(100);
  filled.used(kLargePageSize / 2 - 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(is_there(1));
  filled.used(kLargePageSize / 2 + 1);
  EXPECT_TRUE(comes(1));
  EXPECT_FALSE(is_there(2));
  filled.used(2 * kLargePageSize - 1);
  EXPECT_TRUE(comes(2));
  filled.used(3 * kLargePageSize);  // There is no next page.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(is_there(3));
}

}  // namespace
}  // namespace alcove::memory
