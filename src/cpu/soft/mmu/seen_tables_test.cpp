#include "cpu/soft/mmu/seen_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cpu/soft/mmu/table_entry.h"
#include "cpu/soft/testing/flat_engine.h"

namespace alcove::cpu::soft {
namespace {

using namespace table_entry;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;
using Change = SeenTables::Change;
using Kind = SeenTables::Change::Kind;

constexpr uint64_t kBase = 0x100'0000, kTables = kBase + 0x10'0000;
constexpr uint64_t kBits = kPresent | kWritable | kUser | kAccessed | kDirty;
constexpr uint64_t kPage = 0x1000, kRegion = 0x20'0000;

// Of the first 2 MiB the first 16 pages are at kBase; 2 MiB of theirs follow, as a large page.
class SeenTablesTest : public ::testing::Test {
 protected:
  SeenTablesTest() {
    put(kTables, (kTables + 0x1000) | kBits);
    put(kTables + 0x1000, (kTables + 0x2000) | kBits);
    put(kTables + 0x2000, (kTables + 0x3000) | kBits);
    put(kTables + 0x2008, 0x120'0000 | kBits | kLarge);
    for (uint64_t i = 0; i < 16; ++i) map(i, frame(i) | kBits);
  }
  void put(uint64_t address, uint64_t value) {
    engine_.write(address, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
  }
  static uint64_t frame(uint64_t number) { return kBase + number * kPage; }
  void map(uint64_t number, uint64_t entry) { put(kTables + 0x3000 + number * 8, entry); }
  PhysicalMemory::Page at(uint64_t physical) { return memory_.page(physical); }
  void note(uint64_t number, bool writes = false) {
    ASSERT_TRUE(seen_.note(mode_, number * kPage, at(frame(number)).host, writes));
  }
  void note_code(uint64_t number) {
    ASSERT_TRUE(seen_.note_code(mode_, number * kPage, *at(frame(number)).state));
  }
  std::vector<Change> compare() {
    const auto changes = seen_.compare(mode_).value();
    return {changes.begin(), changes.end()};
  }
  std::vector<Change> compare_page(uint64_t address) {
    const auto changes = seen_.compare_page(mode_, address).value();
    return {changes.begin(), changes.end()};
  }

  testing::FlatEngine engine_{kBase, 0x60'0000};
  PhysicalMemory& memory_ = engine_.engine().mmu().memory();
  PagingMode mode_{.cr0 = 0x8001'0000, .cr3 = kTables, .cr4 = 0x20, .efer = 0xd00};
  SeenTables seen_{memory_};
};

TEST_F(SeenTablesTest, FindsWhatHasChangedOnce) {
  for (uint64_t i = 0; i < 8; ++i) note(i, i % 2);
  EXPECT_THAT(compare(), ElementsAre());
  map(1, frame(9) | kBits);                     // Another page,
  map(2, 0);                                    // none,
  map(3, frame(3) | (kBits & ~kWritable));      // fewer rights, whether they are in use
  map(4, frame(4) | (kBits & ~kWritable));      // or not,
  map(5, frame(5) | (kBits & ~kAccessed));      // to be accessed for the first time,
  map(6, frame(6) | kBits | kNoExecute);        // never run,
  map(7, frame(7) | kBits | uint64_t{1} << 9);  // for the guest to use;
  map(8, 0);                                    // of no concern.
  const std::vector<Change> expected{{Kind::gone, 1 * kPage, 2 * kPage},
                                     {Kind::read_only, 3 * kPage, 2 * kPage},
                                     {Kind::gone, 5 * kPage, kPage}};
  EXPECT_EQ(compare(), expected);
  EXPECT_THAT(compare(), ElementsAre());
}

TEST_F(SeenTablesTest, TellsOfCode) {
  for (uint64_t i = 0; i < 4; ++i) note_code(i);
  note(1, true);
  note_code(3);
  EXPECT_THAT(compare(), ElementsAre());
  map(0, frame(0) | (kBits & ~kWritable));
  map(1, frame(1) | kBits | kNoExecute);
  map(3, 0);
  EXPECT_THAT(compare(),
              ElementsAre(Change{Kind::read_only, 0, kPage}, Change{Kind::gone, 3 * kPage, kPage},
                          Change{Kind::not_code, kPage, kPage}, Change{Kind::not_code, 3 * kPage, kPage}));
  map(1, frame(1) | kBits);
  EXPECT_THAT(compare(), ElementsAre());
  map(1, frame(1) | kBits | kNoExecute);
  EXPECT_THAT(compare(), ElementsAre()) << "it is not known to have code any more";
}

TEST_F(SeenTablesTest, RightsThatAreAddedChangeNothing) {
  map(0, frame(0) | kPresent | kUser | kAccessed | kNoExecute);
  note(0);
  map(0, frame(0) | kBits);
  note(0, true);
  note_code(0);
  EXPECT_THAT(compare(), ElementsAre());
  map(0, frame(0) | (kBits & ~kDirty));
  EXPECT_THAT(compare(), ElementsAre(Change{Kind::read_only, 0, kPage}));
}

TEST_F(SeenTablesTest, WhatWasNeverSoIsGone) {
  // A TLB has what the tables said before,
  ASSERT_TRUE(seen_.note(mode_, 0, at(frame(1)).host, false));
  // now they say less,
  map(1, frame(1) | (kBits & ~kDirty));
  note(1, true);
  map(2, frame(2) | (kBits & ~kUser));
  note(2);
  map(3, frame(3) | kBits | kNoExecute);
  note_code(3);
  // or first one thing, and then another.
  note(4);
  map(4, frame(5) | kBits);
  ASSERT_TRUE(seen_.note(mode_, 4 * kPage, at(frame(5)).host, false));
  EXPECT_THAT(compare(),
              ElementsAre(Change{Kind::gone, 0, 5 * kPage}, Change{Kind::not_code, 3 * kPage, kPage}));
  // That it says the first again is too late.
  note_code(6);
  map(6, frame(7) | kBits);
  ASSERT_TRUE(seen_.note_code(mode_, 6 * kPage, *at(frame(7)).state));
  map(6, frame(6) | kBits);
  EXPECT_THAT(compare(),
              ElementsAre(Change{Kind::gone, 6 * kPage, kPage}, Change{Kind::not_code, 6 * kPage, kPage}));
}

TEST_F(SeenTablesTest, TablesAboveTakeAllWithThem) {
  note(1);
  note_code(3);
  put(kTables + 0x2000, (kTables + 0x3000) | (kBits & ~kWritable));
  EXPECT_THAT(compare(),
              ElementsAre(Change{Kind::gone, 0, kRegion}, Change{Kind::not_code, 3 * kPage, kPage}));
  EXPECT_THAT(compare(), ElementsAre());
  note(1);
  put(kTables + 0x1000, 0);
  EXPECT_THAT(compare_page(9 * kPage), ElementsAre(Change{Kind::gone, 0, kRegion}));
  note(1);  // Nothing leads there.
  EXPECT_THAT(compare(), ElementsAre(Change{Kind::gone, 0, kRegion}));
}

TEST_F(SeenTablesTest, LargePagesAreOne) {
  ASSERT_TRUE(seen_.note(mode_, kRegion + 3 * kPage, at(0x120'3000).host, true));
  note(1);
  EXPECT_THAT(compare_page(kRegion), ElementsAre());
  put(kTables + 0x2008, 0x120'0000 | (kBits & ~kDirty) | kLarge);
  EXPECT_THAT(compare_page(kPage), ElementsAre());
  EXPECT_THAT(compare_page(kRegion + 7 * kPage), ElementsAre(Change{Kind::gone, kRegion, kRegion}));
  put(kTables + 0x2008, 0x120'0000 | kBits | kLarge);
  ASSERT_TRUE(seen_.note(mode_, kRegion, at(0x120'0000).host, false));
  // Now it has parts.
  put(kTables + 0x2008, (kTables + 0x3000) | kBits);
  ASSERT_TRUE(seen_.note(mode_, kRegion + kPage, at(frame(1)).host, false));
  EXPECT_THAT(compare(), ElementsAre(Change{Kind::gone, kRegion, kRegion}));
}

TEST_F(SeenTablesTest, PagesOf1GiBAreOne) {
  put(kTables + 0x1008, kBits | kLarge);
  constexpr uint64_t kGiB = 1 << 30;
  for (const uint64_t physical : {kBase, kBase + kRegion})
    ASSERT_TRUE(seen_.note(mode_, kGiB + physical, at(physical).host, true));
  EXPECT_THAT(compare(), ElementsAre());
  put(kTables + 0x1008, 0);
  EXPECT_THAT(compare_page(kGiB), UnorderedElementsAre(Change{Kind::gone, kGiB + kBase, kRegion},
                                                       Change{Kind::gone, kGiB + kBase + kRegion, kRegion}));
}

TEST_F(SeenTablesTest, OnePageAtATime) {
  for (uint64_t i = 0; i < 3; ++i) note(i, true);
  for (uint64_t i = 0; i < 3; ++i) map(i, 0);
  EXPECT_THAT(compare_page(kPage + 5), ElementsAre(Change{Kind::gone, kPage, kPage}));
  EXPECT_THAT(compare_page(kPage + 5), ElementsAre());
  EXPECT_THAT(compare_page(5 * kPage), ElementsAre());
}

TEST_F(SeenTablesTest, HasBoundsAndTellsThem) {
  uint64_t noted = 0;
  while (seen_.note(mode_, noted * kRegion, at(kBase).host, false)) ASSERT_LT(++noted, 100'000u);
  EXPECT_GE(noted, 1000u);
  seen_.clear();
  note(1);
  PagingMode other = mode_;
  other.efer ^= 1 << 11;
  EXPECT_FALSE(seen_.compare(other));
  EXPECT_FALSE(seen_.compare_page(other, kPage));
  other = mode_;
  other.cr0 = 0x1'0000;
  EXPECT_FALSE(seen_.compare(other));
}

}  // namespace
}  // namespace alcove::cpu::soft
