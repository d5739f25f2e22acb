#include "cpu/soft/mmu/walk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <vector>

namespace alcove::cpu::soft {
namespace {

class NoDevices final : public IoHandler {
 public:
  void port_read(uint16_t, std::span<std::byte>) override {}
  void port_write(uint16_t, std::span<const std::byte>) override {}
  void memory_read(uint64_t, std::span<std::byte>) override {}
  void memory_write(uint64_t, std::span<const std::byte>) override {}
  void end_of_interrupt(uint8_t) override {}
};

constexpr uint64_t kCr0Paging = 0x80000001, kCr0Wp = 1u << 16;
constexpr uint64_t kCr4Pse = 1u << 4, kCr4Pae = 1u << 5, kCr4Pge = 1u << 7, kCr4Smep = 1u << 20,
                   kCr4Smap = 1u << 21;
constexpr uint64_t kNx = uint64_t{1} << 63;

struct WalkTest : testing::Test {
  static memory::GuestMemory make() {
    const memory::RegionSpec region{.guest_address = 0, .size = 1 << 20};
    return std::move(*memory::GuestMemory::create({&region, 1}));
  }
  memory::GuestMemory ram = make();
  NoDevices io;
  memory::Populator populator;
  PhysicalMemory physical{ram, io, populator};

  template <class Word>
  void put(uint64_t address, Word value) {
    ASSERT_TRUE(ram.store(address, value));
  }
  template <class Word>
  Word get(uint64_t address) {
    return *ram.load<Word>(address);
  }
};

// The tables lie at fixed places, one after the other; entry i of a walk is at kTables + 4096 * i + its
// index.
constexpr uint64_t kTables = 0x10000;

// What the manual says, said once more: the walk of four (or three) 64-bit entries.
struct Expectation {
  std::optional<uint32_t> fault;
  uint64_t page_size = 0;
  std::vector<uint64_t> after;  // The entries afterwards.
};

Expectation expect_64bit(const std::vector<uint64_t>& entries, bool long_mode, const PagingMode& mode,
                         AccessKind kind) {
  const bool nxe = mode.efer & 0x800;
  Expectation result;
  result.after = entries;
  const uint32_t base =
      (kind.write ? 2 : 0) | (kind.user ? 4 : 0) | (kind.fetch && (nxe || (mode.cr4 & kCr4Smep)) ? 16 : 0);
  bool all_user = true, all_writable = true, any_nx = false;
  const uint64_t sizes4[] = {0, 1 << 30, 1 << 21, 1 << 12};
  const uint64_t sizes3[] = {0, 1 << 21, 1 << 12};
  for (size_t i = 0; i < entries.size(); ++i) {
    const uint64_t e = entries[i];
    const uint64_t size = long_mode ? sizes4[i] : sizes3[i];
    if (!(e & 1)) {
      result.fault = base;
      return result;
    }
    const bool pointer = !long_mode && i == 0;
    const bool last = i + 1 == entries.size();
    const bool large = !last && (e & 0x80) && size != 0 && !pointer;
    bool reserved = false;
    for (unsigned bit = kPhysicalAddressBits; bit < 64; ++bit) {
      if (!(e >> bit & 1)) continue;
      if (bit == 63 ? pointer || !nxe : bit < 52 || !long_mode) reserved = true;
    }
    if (pointer && (e & 0x1e6)) reserved = true;
    if (long_mode && i == 0 && (e & 0x80)) reserved = true;
    if (large)
      for (uint64_t bit = 0x2000; bit < size; bit <<= 1)
        if (e & bit) reserved = true;
    if (reserved) {
      result.fault = base | 9;
      return result;
    }
    if (pointer) continue;
    all_user = all_user && (e & 4);
    all_writable = all_writable && (e & 2);
    any_nx = any_nx || (e & kNx);
    if (!last && !large) continue;

    bool denied = false;
    if (kind.user && !all_user) denied = true;
    if (kind.fetch && any_nx) denied = true;
    if (!kind.user && all_user && kind.fetch && (mode.cr4 & kCr4Smep)) denied = true;
    if (!kind.user && all_user && !kind.fetch && !kind.user_pages) denied = true;
    if (kind.write && !all_writable && (kind.user || (mode.cr0 & kCr0Wp))) denied = true;
    if (denied) {
      result.fault = base | 1;
      return result;
    }
    result.page_size = last ? 4096 : size;
    for (size_t used = long_mode ? 0 : 1; used <= i; ++used) result.after[used] |= 0x20;
    if (kind.write) result.after[i] |= 0x40;
    return result;
  }
  return result;
}

void compare_random_walks(WalkTest& test, bool long_mode) {
  std::mt19937_64 random(42);
  const size_t levels = long_mode ? 4 : 3;
  unsigned faults = 0, successes = 0;
  for (int round = 0; round < 200'000; ++round) {
    const auto one_in = [&](unsigned n) { return random() % n == 0; };
    PagingMode mode{.cr0 = kCr0Paging | (one_in(2) ? kCr0Wp : 0),
                    .cr3 = kTables,
                    .cr4 = kCr4Pae | kCr4Pge | (one_in(2) ? kCr4Smep : 0) | (one_in(2) ? kCr4Smap : 0),
                    .efer = (long_mode ? 0x500u : 0u) | (one_in(4) ? 0u : 0x800u)};
    AccessKind kind{.write = one_in(3), .user = one_in(2)};
    if (!kind.write) kind.fetch = one_in(2);
    if (!kind.user) kind.user_pages = one_in(2);
    const uint64_t address = long_mode ? uint64_t(int64_t(random() << 16) >> 16) : uint32_t(random());
    std::vector<uint64_t> entries(levels), places(levels);
    for (size_t i = 0; i < levels; ++i) {
      const bool pointer = !long_mode && i == 0;
      entries[i] = kTables + 0x1000 * (i + 1);
      entries[i] |= pointer ? 1
                            : (one_in(30) ? 0 : 1) | (one_in(4) ? 0 : 2) | (one_in(4) ? 0 : 4) |
                                  (one_in(3) ? 0x20 : 0) | (one_in(3) ? 0x40 : 0) | (one_in(3) ? 0x100 : 0);
      if (!pointer && one_in(8)) entries[i] |= kNx;
      if (one_in(8)) entries[i] |= 0x80;
      if ((entries[i] & 0x80) && !one_in(4)) entries[i] &= ~uint64_t{0x3ffff000};
      if (one_in(40)) entries[i] |= uint64_t{1} << random() % 64;
      // Keep what was made a pointer pointing at our tables.
      const unsigned shift = 12 + 9 * (levels - 1 - i);
      places[i] = kTables + 0x1000 * i + (address >> shift & 0x1ff) * 8;
      if ((entries[i] & 1) && !(entries[i] & 0x80) && i + 1 < levels &&
          (entries[i] & 0x3fff'ffff'f000) != kTables + 0x1000 * (i + 1))
        entries[i] = kTables + 0x1000 * (i + 1) + 1;
      test.put(places[i], entries[i]);
    }
    // A PS bit that is none (PML4, PDPTE of PAE) does not lead elsewhere.
    const auto expected = expect_64bit(entries, long_mode, mode, kind);
    const auto result = walk(test.physical, mode, address, kind);
    ASSERT_EQ(result.has_value(), !expected.fault) << "round " << round;
    if (result) {
      ++successes;
      ASSERT_EQ(result->page_size, expected.page_size);
      size_t leaf = 0;
      const uint64_t sizes4[] = {0, 1 << 30, 1 << 21, 1 << 12};
      while (leaf + 1 < levels && (long_mode ? sizes4[leaf] : sizes4[leaf + 1]) != result->page_size) ++leaf;
      const uint64_t mask = (result->page_size - 1);
      ASSERT_EQ(result->physical, (entries[leaf] & 0x3fff'ffff'f000 & ~mask) | (address & mask));
      ASSERT_EQ(result->global, (entries[leaf] & 0x100) != 0);
    } else {
      ++faults;
      ASSERT_EQ(result.error(), *expected.fault) << "round " << round;
    }
    for (size_t i = 0; i < levels; ++i)
      ASSERT_EQ(test.get<uint64_t>(places[i]), expected.after[i]) << "round " << round << " level " << i;
  }
  EXPECT_GT(faults, 10'000u);
  EXPECT_GT(successes, 10'000u);
}

TEST_F(WalkTest, LongModeMatchesTheModel) {
  compare_random_walks(*this, true);
}
TEST_F(WalkTest, PaeMatchesTheModel) {
  compare_random_walks(*this, false);
}

TEST_F(WalkTest, WithoutPagingAddressesStay) {
  const auto result = walk(physical, {}, 0x12345, {.write = true, .user = true});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->physical, 0x12345u);
  EXPECT_TRUE(result->may_write);
}

TEST_F(WalkTest, ThirtyTwoBitTables) {
  const PagingMode mode{.cr0 = kCr0Paging | kCr0Wp, .cr3 = 0x10000, .cr4 = kCr4Pse};
  put<uint32_t>(0x10000 + 4 * 3, 0x11007);         // 0x00c00000: a table
  put<uint32_t>(0x11000 + 4 * 5, 0x00abc005);      // + 0x5000: user, read-only
  put<uint32_t>(0x10000 + 4 * 4, 0x01c02083 | 0);  // 0x01000000: 4 MiB at 0x1'01c00000 (PSE-36), supervisor
  put<uint32_t>(0x10000 + 4 * 6, 0x00200083);      // Bit 21 is reserved.
  const auto small = walk(physical, mode, 0xc05123, {.user = true});
  ASSERT_TRUE(small);
  EXPECT_EQ(small->physical, 0xabc123u);
  EXPECT_FALSE(small->may_write);
  EXPECT_EQ(get<uint32_t>(0x10000 + 4 * 3), 0x11027u);
  EXPECT_EQ(get<uint32_t>(0x11000 + 4 * 5), 0x00abc025u);
  EXPECT_EQ(walk(physical, mode, 0xc05123, {.write = true, .user = true}).error(), 7u);
  EXPECT_EQ(walk(physical, mode, 0xc05123, {.write = true, .user_pages = true}).error(), 3u);
  // Without NX there is no instruction-fetch bit in the error code.
  EXPECT_EQ(walk(physical, mode, 0x100'0000, {.fetch = true, .user = true}).error(), 5u);
  EXPECT_EQ(walk(physical, mode, 0xc06000, {.user = true}).error(), 4u);

  const auto large = walk(physical, mode, 0x107'7123, {.write = true, .user_pages = true});
  ASSERT_TRUE(large);
  EXPECT_EQ(large->physical, 0x1'01c7'7123u);
  EXPECT_EQ(large->page_size, 4u << 20);
  EXPECT_EQ(walk(physical, mode, 0x180'0000, {.user_pages = true}).error(), 9u);
}

TEST_F(WalkTest, TablesOutsideMemoryReadAsOnes) {
  const PagingMode mode{.cr0 = kCr0Paging, .cr3 = 0x4000'0000, .cr4 = kCr4Pae, .efer = 0xd00};
  EXPECT_EQ(walk(physical, mode, 0x1000, {.user_pages = true}).error(), 9u);
}

TEST_F(WalkTest, SettingBitsInvalidatesCodeDecodedFromTheTable) {
  put<uint64_t>(0x10000, 0x11001);
  put<uint64_t>(0x11000, 0x12001);
  put<uint64_t>(0x12000, 0x13001);
  put<uint64_t>(0x13000, 0x55001);
  PageState& state = *physical.page(0x13000).state;
  state.code_lines = PageState::lines(0, 8);
  const uint32_t generation = state.code_generation;
  const PagingMode mode{.cr0 = kCr0Paging, .cr3 = 0x10000, .cr4 = kCr4Pae, .efer = 0xd00};
  ASSERT_TRUE(walk(physical, mode, 0, {.user_pages = true}));
  EXPECT_NE(state.code_generation, generation);
  EXPECT_EQ(state.code_lines, 0u);
}

TEST(PageStateTest, LinesCoverWhatTheyTouch) {
  EXPECT_EQ(PageState::lines(0, 1), 1u);
  EXPECT_EQ(PageState::lines(63, 2), 3u);
  EXPECT_EQ(PageState::lines(4095, 1), uint64_t{1} << 63);
  EXPECT_EQ(PageState::lines(0, 4096), ~uint64_t{0});
}

}  // namespace
}  // namespace alcove::cpu::soft
