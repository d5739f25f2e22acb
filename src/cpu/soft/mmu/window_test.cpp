#include "cpu/soft/mmu/window.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <vector>

#include "cpu/soft/mmu/flat_map.h"
#include "cpu/soft/mmu/windows.h"
#include "cpu/soft/testing/flat_engine.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kPage = memory::kPageSize, kSize = 4 * Window::kLargeSize;
constexpr uint64_t kHigh = 0x7f12'3456'7000;

// What the host's kernel says of an access, which raises no signal.
class Probe {
 public:
  Probe() { EXPECT_EQ(pipe(ends_.data()), 0); }
  ~Probe() {
    for (const int end : ends_) close(end);
  }
  bool reads(const uint8_t* address) {
    uint8_t byte;
    return ::write(ends_[1], address, 1) == 1 && ::read(ends_[0], &byte, 1) == 1;
  }
  bool writes(uint8_t* address) {
    const uint8_t byte = 1;
    if (::write(ends_[1], &byte, 1) != 1) return false;
    if (::read(ends_[0], address, 1) == 1) return true;
    uint8_t rest;
    EXPECT_EQ(::read(ends_[0], &rest, 1), 1);
    return false;
  }

 private:
  std::array<int, 2> ends_{};
};

class WindowTest : public ::testing::Test {
 protected:
  WindowTest() { window_ = Window::create(cpu_, memory_); }
  void SetUp() override {
    if (!window_) GTEST_SKIP() << "this host has no room for windows";
  }
  uint8_t* at(uint64_t address) {
    return reinterpret_cast<uint8_t*>(window_->base() + Window::kOffset + (address & Window::kMask));
  }
  std::byte* host(uint64_t physical) { return memory_.memory().host_range(physical, kPage); }
  PageView& view() {
    if (!pages_) pages_.emplace(window_->base() + Window::kOffset, Window::kSize, memory_.memory());
    return *pages_;
  }
  Window::Page page(uint64_t address, uint64_t physical, bool writable) {
    return {.address = address, .host = host(physical), .writable = writable, .size = kPage};
  }

  // An address space of `windows` gets one instead of window_.
  void open_at_once(Windows& windows) {
    window_.reset();
    windows.open_after(0);
    windows.select({.cr3 = 0x1000}, 1);
    EXPECT_TRUE(windows.ran(1));
    ASSERT_TRUE(windows.open({}, {}));
  }

  CpuMemory cpu_;
  testing::FlatEngine engine_{0, kSize};
  PhysicalMemory& memory_ = engine_.engine().mmu().memory();
  std::unique_ptr<Window> window_;
  std::optional<PageView> pages_;
  Probe probe_;
};

TEST_F(WindowTest, ShowsTheGuestsPages) {
  EXPECT_FALSE(probe_.reads(at(kHigh)));
  view().map(page(kHigh, 2 * kPage, true));
  *at(kHigh + 5) = 7;
  EXPECT_EQ(std::to_integer<int>(host(2 * kPage)[5]), 7);
  EXPECT_FALSE(probe_.reads(at(kHigh + kPage)));
  EXPECT_FALSE(probe_.reads(at(kHigh - 1)));
}

TEST_F(WindowTest, NothingElseIsWithinReach) {
  view().map(page(0, 0, true));
  view().map(page(Window::kSize - kPage, 0, true));
  EXPECT_TRUE(probe_.reads(at(0)));
  EXPECT_TRUE(probe_.reads(at(Window::kSize - 1)));
  for (const int64_t distance : {int64_t{1}, int64_t{Window::kReach}}) {
    EXPECT_FALSE(probe_.reads(at(0) - distance));
    EXPECT_FALSE(probe_.reads(at(Window::kSize - 1) + distance));
  }
}

TEST_F(WindowTest, KeepsStoresFromPages) {
  view().map(page(kHigh, 0, false));
  EXPECT_TRUE(probe_.reads(at(kHigh)));
  EXPECT_FALSE(probe_.writes(at(kHigh)));
  view().map(page(kHigh, 0, true));
  EXPECT_TRUE(probe_.writes(at(kHigh)));
  view().forbid_writes(host(kPage));
  EXPECT_TRUE(probe_.writes(at(kHigh)));
  view().forbid_writes(host(0));
  EXPECT_FALSE(probe_.writes(at(kHigh)));
  EXPECT_TRUE(probe_.reads(at(kHigh)));
}

// The host gives a process a limited number of mappings. What can't be had is not there, and comes later.
TEST_F(WindowTest, SharesTheHostsMappings) {
  const auto second = Window::create(cpu_, memory_);
  if (!second) GTEST_SKIP() << "this host has no room for two windows";
  PageView other(second->base() + Window::kOffset, Window::kSize, memory_.memory());
  size_t limit = 65530;
  std::ifstream("/proc/sys/vm/max_map_count") >> limit;
  limit = limit / 4 * 3;
  if (limit > 200'000) GTEST_SKIP() << "this host gives more than can be tried";
  const auto take = [&](size_t mappings) {
    for (uint64_t i = 0; i < mappings / 2; ++i) ASSERT_TRUE(view().map(page(kHigh + 2 * i * kPage, 0, true)));
  };
  take(limit - limit % 2);
  *reinterpret_cast<char*>(host(2 * kPage)) = 7;
  EXPECT_FALSE(other.map(page(kHigh, 2 * kPage, false)));
  EXPECT_FALSE(other.has(kHigh, host(2 * kPage)));
  EXPECT_TRUE(other.is_empty());
  view().clear();
  EXPECT_TRUE(other.map(page(kHigh, 2 * kPage, true)));
  EXPECT_EQ(*other.place(kHigh), 7);

  // Parts that differ from what they were mapped with count, too.
  take(limit - 100);
  std::vector<PageView::Page> pages;
  for (uint64_t i = 0; i < 200; ++i) pages.push_back(page((i + 16) * kPage, (i + 4) * kPage, false));
  EXPECT_TRUE(other.map(pages));
  for (size_t i = 0; i < pages.size() && !other.is_empty(); i += 2) {
    pages[i].writable = true;
    other.map(pages[i]);
  }
  EXPECT_TRUE(other.is_empty());
}

TEST_F(WindowTest, APlaceIsTheLastOnes) {
  const uint64_t alias = kHigh - Window::kSize;
  view().map(page(kHigh, 0, true));
  *at(kHigh) = 1;
  view().map(page(alias, kPage, true));
  EXPECT_EQ(*at(alias), 0);
  // The one that has lost its place has nothing to lose any more.
  view().forget_page(kHigh);
  EXPECT_TRUE(probe_.reads(at(alias)));
  view().forget_page(alias);
  EXPECT_FALSE(probe_.reads(at(alias)));
}

TEST_F(WindowTest, LargePagesComeAndGoAsOne) {
  const uint64_t address = kHigh & ~(Window::kLargeSize - 1);
  view().map(page(address + kPage, kPage, false));
  view().map({.address = address + 3 * kPage,
              .host = host(Window::kLargeSize + 3 * kPage),
              .writable = true,
              .size = Window::kLargeSize});
  *at(address) = 1;
  *at(address + Window::kLargeSize - 1) = 2;
  EXPECT_EQ(std::to_integer<int>(host(Window::kLargeSize)[0]), 1);
  // Code was found in a part of it.
  view().forbid_writes(host(Window::kLargeSize + kPage));
  EXPECT_FALSE(probe_.writes(at(address + kPage)));
  EXPECT_TRUE(probe_.writes(at(address + 2 * kPage)));
  view().forget_page(address + 9 * kPage);
  EXPECT_FALSE(probe_.reads(at(address)));
  EXPECT_FALSE(probe_.reads(at(address + kPage)));
}

TEST_F(WindowTest, MapsManyAndForgetsAll) {
  std::vector<Window::Page> pages;
  for (uint64_t i = 0; i < 64; ++i) pages.push_back(page(kHigh + i * kPage, i * kPage, i % 8 != 0));
  view().map(pages);
  EXPECT_FALSE(probe_.writes(at(kHigh)));
  EXPECT_TRUE(probe_.writes(at(kHigh + 63 * kPage)));
  view().forget_page(kHigh + kPage);
  EXPECT_FALSE(probe_.reads(at(kHigh + kPage)));
  EXPECT_TRUE(probe_.reads(at(kHigh + 2 * kPage)));
  view().clear();
  for (const Window::Page& gone : pages) EXPECT_FALSE(probe_.reads(at(gone.address)));
}

TEST_F(WindowTest, AFlushTakesWhatTheTablesHaveNoMore) {
  constexpr uint64_t kTables = 0x40'0000, kBits = 0x67;  // Present, writable, user's, accessed, dirty.
  const auto put = [&](uint64_t address, uint64_t value) {
    engine_.write(address, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
  };
  for (uint64_t level = 0; level < 3; ++level)
    put(kTables + level * kPage + (kHigh >> (39 - 9 * level) & 0x1ff) * 8,
        (kTables + (level + 1) * kPage) | kBits);
  const auto map = [&](uint64_t address, uint64_t entry) {
    put(kTables + 3 * kPage + (address >> 12 & 0x1ff) * 8, entry);
  };
  const PagingMode mode{.cr0 = 0x8001'0000, .cr3 = kTables, .cr4 = 0x20, .efer = 0xd00};
  for (uint64_t i = 0; i < 4; ++i) {
    map(kHigh + i * kPage, i * kPage | kBits);
    window_->show(mode, page(kHigh + i * kPage, i * kPage, true));
  }
  map(kHigh + kPage, 0);
  map(kHigh + 2 * kPage, 2 * kPage | (kBits & ~2));
  EXPECT_TRUE(probe_.reads(at(kHigh + kPage)));
  window_->flush_page(mode, kHigh);
  EXPECT_TRUE(probe_.reads(at(kHigh + kPage)));
  window_->flush(mode);
  EXPECT_TRUE(probe_.writes(at(kHigh)));
  EXPECT_FALSE(probe_.reads(at(kHigh + kPage)));
  EXPECT_TRUE(probe_.reads(at(kHigh + 2 * kPage)));
  EXPECT_FALSE(probe_.writes(at(kHigh + 2 * kPage)));
  EXPECT_TRUE(probe_.writes(at(kHigh + 3 * kPage)));
  map(kHigh + 3 * kPage, 0);
  window_->flush_page(mode, kHigh + 3 * kPage);
  EXPECT_FALSE(probe_.reads(at(kHigh + 3 * kPage)));
  EXPECT_TRUE(probe_.writes(at(kHigh)));
}

// A processor may have a large page in its TLB that the guest has split.
TEST_F(WindowTest, LargePagesAreThoseOfTheTables) {
  constexpr uint64_t kTables = 0x40'0000, kBits = 0x67, kPs = 0x80, kAt = kHigh & ~(Window::kLargeSize - 1);
  const auto put = [&](uint64_t level, uint64_t value) {
    const uint64_t entry = kTables + level * kPage + (kAt >> (39 - 9 * level) & 0x1ff) * 8;
    engine_.write(entry, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
  };
  for (uint64_t level = 0; level < 3; ++level) put(level, (kTables + (level + 1) * kPage) | kBits);
  put(3, Window::kLargeSize | kBits);
  const PagingMode mode{.cr0 = 0x8001'0000, .cr3 = kTables, .cr4 = 0x20, .efer = 0xd00};
  const Window::Page large{
      .address = kAt, .host = host(Window::kLargeSize), .writable = true, .size = Window::kLargeSize};
  window_->show(mode, large);
  EXPECT_TRUE(probe_.reads(at(kAt)));
  EXPECT_FALSE(probe_.reads(at(kAt + kPage)));
  window_->clear();
  put(2, Window::kLargeSize | kBits | kPs);
  window_->show(mode, large);
  EXPECT_TRUE(probe_.writes(at(kAt + kPage)));
}

TEST_F(WindowTest, AddressSpacesEarnTheirs) {
  window_.reset();
  Windows windows(cpu_, memory_);
  windows.open_after(100);
  windows.select({.cr3 = 0x1000}, 1);
  EXPECT_FALSE(windows.ran(60));
  windows.select({.cr3 = 0x2000}, 2);
  EXPECT_FALSE(windows.ran(60));
  windows.select({.cr3 = 0x1000}, 1);
  EXPECT_TRUE(windows.ran(60));
  const std::array pages{page(kHigh, 0, true)};
  ASSERT_TRUE(windows.open({}, pages));
  ASSERT_TRUE(windows.current());
  const auto* const place =
      reinterpret_cast<const uint8_t*>(windows.current()->base() + Window::kOffset + (kHigh & Window::kMask));
  EXPECT_TRUE(probe_.reads(place));
  windows.select({.cr3 = 0x2000}, 2);
  EXPECT_FALSE(windows.current());
  windows.select({.cr3 = 0x1000}, 1);
  EXPECT_TRUE(probe_.reads(place));
  // Its translations are forgotten: what it was is to be looked up anew.
  windows.select({.cr3 = 0x1000}, 3);
  EXPECT_TRUE(windows.current());
  EXPECT_FALSE(probe_.reads(place));
  // Too many pages are missing for so little work.
  unsigned misses = 0;
  while (windows.missed()) ASSERT_LT(++misses, 10'000u);
  EXPECT_FALSE(windows.current());
  EXPECT_FALSE(windows.ran(150));
  EXPECT_TRUE(windows.ran(100));
}

TEST_F(WindowTest, ProcessesThatForgetTheirPagesEarnThemLater) {
  window_.reset();
  Windows windows(cpu_, memory_);
  windows.open_after(30'000'000);
  windows.select({.cr3 = 0x1000}, 1);
  EXPECT_FALSE(windows.ran(25'000'000));
  windows.select({.cr3 = 0x1000}, 2);
  EXPECT_FALSE(windows.ran(10'000'000));
  windows.select({.cr3 = 0x1000}, 3);
  EXPECT_FALSE(windows.ran(10'000'000));
  EXPECT_TRUE(windows.ran(6'000'000));
}

TEST_F(WindowTest, LongWorkInThePastDoesNotPayForMisses) {
  Windows windows(cpu_, memory_);
  open_at_once(windows);
  for (int i = 0; i < 10'000; ++i) EXPECT_FALSE(windows.ran(1'000'000));
  unsigned misses = 0;
  while (windows.missed()) ASSERT_LT(++misses, 5200u);
  EXPECT_FALSE(windows.current());
}

// The time that they take counts as the program's own.
TEST_F(WindowTest, MissesDoNotPayForThemselves) {
  Windows windows(cpu_, memory_);
  open_at_once(windows);
  unsigned misses = 0;
  do {
    windows.ran(150'000);
    ASSERT_LT(++misses, 5200u);
  } while (windows.missed());
}

}  // namespace
}  // namespace alcove::cpu::soft
