#include "cpu/soft/mmu/jump_cache.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "cpu/soft/testing/pages.h"

namespace alcove::cpu::soft {
namespace {

constexpr unsigned kBits = 16;
constexpr size_t kCount = size_t{1} << kBits;

class JumpCacheTest : public ::testing::Test {
 protected:
  // As translated code looks it up.
  const uint8_t* find(uint64_t address) const {
    const size_t index = address % kCount;
    if (words_[index] + address != 0) return nullptr;
    return reinterpret_cast<const uint8_t*>(words_[kCount + index]);
  }
  static const uint8_t* code(uint64_t address) { return reinterpret_cast<const uint8_t*>(address); }

  std::vector<uint64_t> words_ = std::vector<uint64_t>(JumpCache::size(kBits) / sizeof(uint64_t));
  testing::Pages returns_{ReturnStack::kMemory};
  JumpCache cache_{reinterpret_cast<uint64_t>(words_.data()), kBits, returns_.begin()};
};

TEST_F(JumpCacheTest, FindsWhatWasAddedLast) {
  EXPECT_EQ(find(0), nullptr);
  cache_.add(0x40'1234, code(1));
  EXPECT_EQ(find(0x40'1234), code(1));
  EXPECT_EQ(find(0x50'1234), nullptr);
  cache_.add(0x50'1234, code(2));
  EXPECT_EQ(find(0x40'1234), nullptr);
  EXPECT_EQ(find(0x50'1234), code(2));
  cache_.clear();
  EXPECT_EQ(find(0x50'1234), nullptr);
  EXPECT_EQ(find(0), nullptr);
}

TEST_F(JumpCacheTest, ForgetsCode) {
  cache_.add(0x1234, code(1));
  cache_.add(0x5234, code(1));
  cache_.add(0x6234, code(2));
  cache_.remove(0x234, code(1));
  EXPECT_EQ(find(0x1234), nullptr);
  EXPECT_EQ(find(0x5234), nullptr);
  EXPECT_EQ(find(0x6234), code(2));
}

TEST_F(JumpCacheTest, ForgetsAPageAndWhatCrossesIntoIt) {
  for (const uint64_t address : {0x1ff0, 0x1ff1, 0x1fff, 0x2000, 0x2fff, 0x3000})
    cache_.add(address, code(address));
  cache_.clear_page(0x2000);
  EXPECT_EQ(find(0x2000), nullptr);
  EXPECT_EQ(find(0x2fff), nullptr);
  EXPECT_EQ(find(0x1ff1), nullptr);
  EXPECT_EQ(find(0x1fff), nullptr);
  EXPECT_EQ(find(0x3000), code(0x3000));
}

TEST_F(JumpCacheTest, KnowsPagesUntilTheyAreForgotten) {
  // As translated code looks it up.
  const auto& rest = *reinterpret_cast<const JumpCache::Rest*>(reinterpret_cast<const char*>(words_.data()) +
                                                               cache_.rest(kBits));
  const auto find_page = [&](uint64_t address) -> std::optional<uint64_t> {
    const uint64_t number = address >> 12;
    if (rest.page_tags[number % JumpCache::kPages] + number != 0) return {};
    return rest.physical_pages[number % JumpCache::kPages];
  };
  EXPECT_EQ(find_page(0), std::nullopt);
  EXPECT_EQ(find_page(0xffff'ffff'ffff'f000), std::nullopt);
  for (const uint64_t address : {0x40'1234ul, 0x40'2234ul, 0x234ul}) cache_.add(address, code(1));
  cache_.add_page(0x40'1234, 0x7234);
  cache_.add_page(0x40'2234, 0x8234);
  cache_.add_page(0x234, 0x9234);
  EXPECT_EQ(find_page(0x40'1fff), 0x7000u);
  EXPECT_EQ(find_page(0x40'2000), 0x8000u);
  EXPECT_EQ(find_page(0), 0x9000u);
  EXPECT_EQ(find_page(0x50'1000), std::nullopt);
  cache_.clear_page(0x40'1000);
  EXPECT_EQ(find_page(0x40'1000), std::nullopt);
  EXPECT_EQ(find_page(0x40'2000), 0x8000u);
  cache_.clear_page(0);
  EXPECT_EQ(find_page(0), std::nullopt);
  cache_.clear();
  EXPECT_EQ(find_page(0x40'2000), std::nullopt);
}

TEST_F(JumpCacheTest, ClearsAlsoWhatItCannotList) {
  for (uint64_t i = 1; i < kCount; ++i) cache_.add(i, code(i));
  EXPECT_EQ(find(kCount - 1), code(kCount - 1));
  cache_.clear();
  for (uint64_t i = 0; i < kCount; ++i) ASSERT_EQ(find(i), nullptr) << i;
}

}  // namespace
}  // namespace alcove::cpu::soft
