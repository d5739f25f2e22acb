#include "cpu/soft/mmu/upper_view.h"

#include <gtest/gtest.h>
#include <immintrin.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <vector>

#include "cpu/soft/mmu/physical.h"
#include "cpu/soft/testing/flat_engine.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kPage = memory::kPageSize, kLarge = PageView::kLargeSize;
constexpr uint64_t kAddress = 0xffff'8880'0040'0000;
constexpr uint64_t kP = 1, kW = 2, kA = 0x20, kPs = 0x80, kG = 0x100;
constexpr uint64_t kBits = kP | kW | kA | kG;
// The guest's tables, of which the one for the large pages about kAddress is kPd.
constexpr uint64_t kPml4 = 0x1000, kPdpt = 0x2000, kPd = 0x3000, kPt = 0x4000;

class UpperViewTest : public ::testing::Test {
 protected:
  void SetUp() override {
    view_ = UpperView::create(physical(), physical().memory());
    if (!view_) GTEST_SKIP() << "this host has no room for views";
    EXPECT_EQ(pipe(ends_.data()), 0);
    entry(kPml4, kAddress >> 39) = kPdpt | kBits;
    entry(kPdpt, kAddress >> 30) = kPd | kBits;
    entry(kPd, kAddress >> 21) = kPt | kBits;
  }
  void TearDown() override {
    for (const int end : ends_) close(end);
  }
  PhysicalMemory& physical() { return engine_.engine().mmu().memory(); }
  std::byte* host(uint64_t address) { return physical().page(address).host; }
  uint64_t& entry(uint64_t table, uint64_t index) {
    return reinterpret_cast<uint64_t*>(host(table))[index & 0x1ff];
  }
  uint64_t& page_entry(uint64_t address) { return entry(kPt, address >> 12); }
  std::byte* show(uint64_t address, uint64_t from) { return view_->show(mode_, address, host(from)); }
  // Where translated code looks.
  [[gnu::target("bmi2")]] static const std::byte* place(uint64_t address, const UpperView& view) {
    const uint64_t packed = _pext_u64(address, view.mask());
    return reinterpret_cast<const std::byte*>(view.place_mask() ? _pdep_u64(packed, view.place_mask())
                                                                : packed);
  }
  const std::byte* place(uint64_t address) const { return place(address, *view_); }
  // As the host's kernel sees it, without a signal.
  bool is_there(const std::byte* address) const {
    std::byte byte;
    return ::write(ends_[1], address, 1) == 1 && ::read(ends_[0], &byte, 1) == 1;
  }

  testing::FlatEngine engine_{0, 4 * kLarge};
  PagingMode mode_{.cr0 = 0x8000'0001, .cr3 = kPml4, .cr4 = 0xa0, .efer = 0xd00};
  std::unique_ptr<UpperView> view_;
  std::array<int, 2> ends_{-1, -1};
};

TEST_F(UpperViewTest, ShowsPagesWherePextLeads) {
  page_entry(kAddress) = (kLarge + 3 * kPage) | kBits;
  EXPECT_FALSE(is_there(place(kAddress)));
  EXPECT_FALSE(view_->find(kAddress, host(kLarge + 3 * kPage)));
  const std::byte* const shown = show(kAddress, kLarge + 3 * kPage);
  ASSERT_EQ(shown, place(kAddress));
  EXPECT_EQ(view_->find(kAddress + 5, host(kLarge + 3 * kPage)), shown);
  host(kLarge + 3 * kPage)[5] = std::byte{7};
  EXPECT_EQ(std::to_integer<int>(shown[5]), 7);
  EXPECT_FALSE(is_there(place(kAddress + kPage)));
  EXPECT_EQ(place(kAddress + 5), shown + 5);
}

TEST_F(UpperViewTest, NothingOfTheLowerHalfIsEverThere) {
  page_entry(kAddress) = kLarge | kBits;
  ASSERT_TRUE(show(kAddress, kLarge));
  for (const uint64_t address :
       {uint64_t{0}, kAddress & (UpperView::kSize - 1), kAddress & ((uint64_t{1} << 47) - 1)})
    EXPECT_FALSE(is_there(place(address)));
}

TEST_F(UpperViewTest, TwoDoNotMeet) {
  page_entry(kAddress) = kLarge | kBits;
  const auto other = UpperView::create(physical(), physical().memory());
  ASSERT_TRUE(other);
  EXPECT_FALSE(UpperView::create(physical(), physical().memory()));
  ASSERT_TRUE(show(kAddress, kLarge));
  const std::byte* const shown = other->show(mode_, kAddress, host(kLarge));
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown, place(kAddress, *other));
  EXPECT_NE(shown, place(kAddress));
  // Kernels take an address without bit 63 for a user's.
  for (unsigned bits = 0; bits < 1 << 16; ++bits) {
    const uint64_t address = (kAddress & ~(uint64_t{0xffff} << 47)) | uint64_t{bits} << 47;
    if (address >> 63) continue;
    ASSERT_NE(place(address, *other), shown) << std::hex << address;
    ASSERT_NE(place(address), shown) << std::hex << address;
    ASSERT_NE(place(address, *other), place(kAddress)) << std::hex << address;
    ASSERT_NE(place(address), place(kAddress)) << std::hex << address;
  }
  other->clear();
  EXPECT_FALSE(is_there(shown));
  EXPECT_TRUE(is_there(place(kAddress)));
}

TEST_F(UpperViewTest, ShowsOnlyWhatTheTablesHave) {
  EXPECT_FALSE(show(kAddress, kLarge));
  page_entry(kAddress) = kLarge | (kBits & ~kA);
  EXPECT_FALSE(show(kAddress, kLarge)) << "not used before";
  page_entry(kAddress) = kLarge | kBits;
  EXPECT_FALSE(show(kAddress, kLarge + kPage)) << "another page";
  page_entry(kAddress) = kLarge | kBits | uint64_t{1} << 46;
  EXPECT_FALSE(show(kAddress, kLarge)) << "a reserved bit";
  page_entry(kAddress) = 4 * kLarge | kBits;
  EXPECT_FALSE(show(kAddress, kLarge)) << "no memory";
  EXPECT_EQ(view_->times_shown(), 0u);
}

TEST_F(UpperViewTest, ShowsThoseAboutAPage) {
  for (uint64_t i = 0; i < 40; ++i) page_entry(kAddress + i * kPage) = (kLarge + i * kPage) | kBits;
  page_entry(kAddress + 30 * kPage) = kLarge | kBits;
  page_entry(kAddress + 3 * kPage) = 0;
  ASSERT_TRUE(show(kAddress + 4 * kPage, kLarge + 4 * kPage));
  for (const uint64_t i : {0, 4, 5, 29}) EXPECT_TRUE(is_there(place(kAddress + i * kPage))) << i;
  for (const uint64_t i : {3, 30, 31}) EXPECT_FALSE(is_there(place(kAddress + i * kPage))) << i;
}

TEST_F(UpperViewTest, KeepsAtFlushesWhatTheTablesStillHave) {
  for (uint64_t i = 0; i < 8; ++i)
    page_entry(kAddress + i * kPage) = (kLarge + i * kPage) | (i < 4 ? kBits : kBits & ~kG);
  ASSERT_TRUE(show(kAddress, kLarge));
  const auto there = [&] {
    unsigned bits = 0;
    for (unsigned i = 0; i < 8; ++i) bits |= unsigned{is_there(place(kAddress + i * kPage))} << i;
    return bits;
  };
  EXPECT_EQ(there(), 0xffu);
  view_->take_displaced();
  view_->flush(mode_);
  EXPECT_EQ(there(), 0xffu);
  EXPECT_FALSE(view_->take_displaced());
  page_entry(kAddress) = 0;
  page_entry(kAddress + 1 * kPage) = (2 * kLarge) | kBits;
  page_entry(kAddress + 4 * kPage) = 0;
  EXPECT_EQ(there(), 0xffu) << "not before a flush";
  view_->flush_non_global(mode_);
  EXPECT_EQ(there(), 0xefu);
  view_->flush_page(mode_, kAddress + kLarge);
  EXPECT_EQ(there(), 0xefu);
  view_->flush(mode_);
  EXPECT_EQ(there(), 0xecu);
  EXPECT_TRUE(view_->take_displaced());
  page_entry(kAddress + 2 * kPage) = 0;
  view_->flush_page(mode_, kAddress + 2 * kPage);
  EXPECT_EQ(there(), 0xe8u);
  // Without CR4.PGE none is global.
  page_entry(kAddress + 3 * kPage) = 0;
  mode_.cr4 &= ~uint64_t{0x80};
  view_->flush_non_global(mode_);
  EXPECT_EQ(there(), 0xe0u);
}

TEST_F(UpperViewTest, LooksAtAllTablesThatLeadToAPage) {
  const auto in_view = [&] { return is_there(place(kAddress)); };
  page_entry(kAddress) = kLarge | kBits;
  for (uint64_t* const entry :
       {&entry(kPml4, kAddress >> 39), &entry(kPdpt, kAddress >> 30), &entry(kPd, kAddress >> 21)}) {
    ASSERT_TRUE(show(kAddress, kLarge));
    const uint64_t before = *entry;
    *entry = 0;
    view_->flush(mode_);
    EXPECT_FALSE(in_view());
    *entry = before;
  }
  // Another address space with the same tables for the upper half, and one without them.
  ASSERT_TRUE(show(kAddress, kLarge));
  entry(0x5000, kAddress >> 39) = entry(kPml4, kAddress >> 39);
  mode_.cr3 = 0x5000;
  view_->flush(mode_);
  EXPECT_TRUE(in_view());
  mode_.cr3 = 0x6000;
  view_->flush_non_global(mode_);
  EXPECT_TRUE(in_view());
  view_->flush(mode_);
  EXPECT_FALSE(in_view());
  // Paging ends.
  mode_.cr3 = kPml4;
  ASSERT_TRUE(show(kAddress, kLarge));
  mode_.cr0 = 1;
  view_->flush(mode_);
  EXPECT_FALSE(in_view());
}

TEST_F(UpperViewTest, LargePagesComeAndGoWhole) {
  entry(kPd, kAddress >> 21) = kLarge | kBits | kPs;
  ASSERT_TRUE(show(kAddress + kPage, kLarge + kPage));
  EXPECT_TRUE(is_there(place(kAddress + kLarge - 1)));
  entry(kPd, kAddress >> 21) = 0;
  view_->flush_page(mode_, kAddress + 7 * kPage);
  EXPECT_FALSE(is_there(place(kAddress)));
  // Of one of 1 GiB all parts go.
  entry(kPdpt, kAddress >> 30) = kBits | kPs;
  ASSERT_TRUE(show(kAddress, 2 * kLarge));
  ASSERT_TRUE(show(kAddress + kLarge, 3 * kLarge));
  EXPECT_FALSE(show(kAddress + 2 * kLarge, 0)) << "no memory";
  entry(kPdpt, kAddress >> 30) = 0;
  view_->flush_page(mode_, kAddress);
  EXPECT_FALSE(is_there(place(kAddress + kLarge)));
}

TEST_F(UpperViewTest, TheTablesSayWhetherALargePageIsStillOne) {
  entry(kPd, kAddress >> 21) = kLarge | kBits | kPs;
  ASSERT_TRUE(show(kAddress, kLarge));
  entry(kPd, kAddress >> 21) = kPt | kBits;
  page_entry(kAddress + kPage) = (2 * kLarge) | kBits;
  view_->take_displaced();
  ASSERT_TRUE(show(kAddress + kPage, 2 * kLarge));
  EXPECT_FALSE(is_there(place(kAddress)));
  EXPECT_TRUE(view_->take_displaced()) << "without a flush";
}

TEST_F(UpperViewTest, TellsWhereAPageIsShown) {
  entry(kPd, kAddress >> 21) = kLarge | kBits | kPs;
  entry(kPd, (kAddress >> 21) + 1) = kPt | kBits;
  page_entry(kAddress + kLarge) = (kLarge + 3 * kPage) | kBits;
  ASSERT_TRUE(show(kAddress, kLarge));
  ASSERT_TRUE(show(kAddress + kLarge, kLarge + 3 * kPage));
  std::vector<uint64_t> found;
  view_->for_each_address(host(kLarge + 3 * kPage), [&](uint64_t address) { found.push_back(address); });
  std::ranges::sort(found);
  EXPECT_EQ(found, (std::vector{kAddress + 3 * kPage, kAddress + kLarge}));
}

TEST_F(UpperViewTest, AddressesThatAreEqualModuloItsSizeCollide) {
  EXPECT_TRUE(view_->claim(mode_, kAddress));
  EXPECT_TRUE(view_->claim(mode_, kAddress + kPage));
  EXPECT_TRUE(view_->claim(mode_, kAddress + UpperView::kClaim));
  EXPECT_TRUE(view_->pays());
  EXPECT_FALSE(view_->claim(mode_, kAddress + UpperView::kSize));
  EXPECT_FALSE(view_->pays());
}

// Reads of what is shown are not seen: the other address may be read for the first time by one.
TEST_F(UpperViewTest, WhatTheTablesLeadToCollidesUnused) {
  page_entry(kAddress) = kLarge | kBits;
  constexpr uint64_t kOther = kAddress + UpperView::kSize, kOtherPdpt = 0x5000;
  entry(kPml4, kOther >> 39) = kOtherPdpt | kP;
  entry(kOtherPdpt, (kOther >> 30) + 1) = kPd | kP;
  EXPECT_TRUE(view_->claim(mode_, kAddress));
  EXPECT_TRUE(show(kAddress, kLarge));
  EXPECT_FALSE(view_->claim(mode_, kAddress + UpperView::kClaim));
  EXPECT_FALSE(view_->pays());
}

TEST_F(UpperViewTest, TellsWhichTablesItsClaimsAreFrom) {
  EXPECT_FALSE(view_->has_unwatched_tables());
  view_->claim(mode_, kAddress);
  EXPECT_TRUE(view_->has_unwatched_tables());
  EXPECT_EQ(view_->take_unwatched_tables(), std::vector{kPdpt});
  view_->claim(mode_, kAddress + UpperView::kClaim);
  view_->table_changed(physical().page(kPd).state);
  EXPECT_FALSE(view_->has_changed_tables());
  EXPECT_FALSE(view_->see_root(mode_));
  EXPECT_TRUE(view_->see_root(mode_));
  view_->table_changed(physical().page(kPdpt).state);
  EXPECT_TRUE(view_->has_changed_tables());
  EXPECT_FALSE(view_->has_unwatched_tables()) << "it may be none any more";
  PagingMode other = mode_;
  other.cr3 = 0x6000;
  view_->claim_used(other);
  EXPECT_FALSE(view_->has_unwatched_tables()) << "it is another address space's";
  EXPECT_FALSE(view_->see_root(mode_));
  EXPECT_EQ(view_->take_unwatched_tables(), std::vector{kPdpt});
}

// Some kernels find their tables by such an entry.
TEST_F(UpperViewTest, TablesThatLeadToThemselvesAreAddressesToo) {
  entry(kPml4, 0) = kPdpt | kBits;
  entry(kPml4, (kAddress >> 39) + 16) = kPml4 | kBits;
  EXPECT_FALSE(view_->claim(mode_, kAddress));
}

TEST_F(UpperViewTest, SeesWhenOtherTablesAreInUse) {
  EXPECT_FALSE(view_->see_root(mode_));
  EXPECT_TRUE(view_->see_root(mode_));
  constexpr uint64_t kOther = 0x6000;
  entry(kOther, kAddress >> 39) = kPdpt | kBits;
  entry(kOther, 0) = kPdpt | kBits;
  PagingMode other = mode_;
  other.cr3 = kOther;
  EXPECT_TRUE(view_->see_root(other)) << "of the upper half";
  entry(kOther, (kAddress >> 39) + 16) = kPdpt | kBits;
  EXPECT_FALSE(view_->see_root(other));
  EXPECT_FALSE(view_->pays());
  EXPECT_TRUE(view_->see_root(mode_));
  EXPECT_TRUE(view_->see_root(other));
}

// Displacements of other addresses lead there.
TEST_F(UpperViewTest, ShowsNothingAtItsBeginning) {
  constexpr uint64_t kFirst = 0xffff'8000'0000'0000;
  for (const uint64_t address : {kFirst, kFirst + UpperView::kReach, kFirst + UpperView::kReach + kLarge}) {
    entry(kPml4, address >> 39) = kPdpt | kBits;
    entry(kPdpt, address >> 30) = kPd | kBits;
    entry(kPd, address >> 21) = kPt | kBits;
    page_entry(address) = kLarge | kBits;
    EXPECT_EQ(show(address, kLarge) != nullptr, address >= kFirst + UpperView::kReach + kLarge);
  }
}

TEST_F(UpperViewTest, AnotherKernelHasOtherAddresses) {
  EXPECT_TRUE(view_->claim(mode_, kAddress));
  view_->flush({});
  EXPECT_TRUE(view_->claim(mode_, kAddress + UpperView::kClaim));
  entry(kPml4, kAddress >> 39) = 0;
  view_->flush({});
  EXPECT_TRUE(view_->claim(mode_, kAddress + UpperView::kSize));
}

TEST_F(UpperViewTest, DoesNotPayForeverWhileTheHostRefuses) {
  bool pays = true;
  for (unsigned i = 0; i < 1'000'000 && pays; ++i) {
    view_->refused();
    pays = view_->pays();
  }
  EXPECT_FALSE(pays);
}

}  // namespace
}  // namespace alcove::cpu::soft
