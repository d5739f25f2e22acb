#include "cpu/soft/mmu/code_places.h"

#include <gtest/gtest.h>

#include <vector>

namespace alcove::cpu::soft {
namespace {

class CodePlacesTest : public ::testing::Test {
 protected:
  // As translated code looks it up.
  const uint8_t* find(uint64_t physical) const {
    const CodePlaces::Entry& entry = entries_[CodePlaces::index_of(physical)];
    return entry.tag + physical == 0 ? entry.code : nullptr;
  }
  static const uint8_t* code(uint64_t address) { return reinterpret_cast<const uint8_t*>(address); }

  std::vector<CodePlaces::Entry> entries_ = std::vector<CodePlaces::Entry>(CodePlaces::kCount);
  CodePlaces places_{reinterpret_cast<uint64_t>(entries_.data())};
};

TEST_F(CodePlacesTest, HaveWhatWasAddedLast) {
  EXPECT_EQ(find(0), nullptr);
  places_.add(0, code(1));
  places_.add(0x1234, code(2));
  places_.add(0x5234, code(3));
  EXPECT_EQ(find(0), code(1));
  EXPECT_EQ(find(0x1234), code(2));
  EXPECT_EQ(find(0x5234), code(3));
  places_.add(0x8'1234, code(4));
  EXPECT_EQ(find(0x1234), nullptr);
  EXPECT_EQ(find(0x8'1234), code(4));
}

TEST_F(CodePlacesTest, ForgetWhatIsRemoved) {
  places_.add(0, code(1));
  places_.add(0x1234, code(2));
  places_.remove(0x1234, code(1));
  places_.remove(0x8'1234, code(2));
  EXPECT_EQ(find(0x1234), code(2));
  places_.remove(0x1234, code(2));
  EXPECT_EQ(find(0x1234), nullptr);
  places_.remove(0, code(1));
  EXPECT_EQ(find(0), nullptr);
  places_.add(0x1234, code(2));
  places_.add(0, code(1));
  places_.clear();
  EXPECT_EQ(find(0x1234), nullptr);
  EXPECT_EQ(find(0), nullptr);
}

}  // namespace
}  // namespace alcove::cpu::soft
