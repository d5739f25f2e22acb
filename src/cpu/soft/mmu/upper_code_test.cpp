#include "cpu/soft/mmu/upper_code.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cpu/soft/testing/flat_engine.h"

namespace alcove::cpu::soft {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

constexpr uint64_t kUpper = 0xffff'8000'0000'0000;
constexpr uint64_t kBase = 0x100'0000, kTables = kBase + 0x10'0000;
constexpr uint64_t kP = 1, kW = 2, kU = 4, kA = 0x20, kLarge = 0x80, kNx = uint64_t{1} << 63;
constexpr uint64_t kBits = kP | kW | kA;

class UpperCodeTest : public ::testing::Test {
 protected:
  UpperCodeTest() {
    put(kTables + 256 * 8, (kTables + 0x1000) | kBits | kU);
    put(kTables + 0x1000, (kTables + 0x2000) | kBits | kU);
    put(kTables + 0x2000, (kTables + 0x3000) | kBits | kU);
    put(kTables + 0x2000 + 8, 0x80'0000 | kBits | kLarge);  // 2 MiB at kUpper + 2 MiB
    for (uint64_t i = 0; i < 8; ++i) put_page(i, (kBase + i * 0x1000) | kBits);
  }
  void put(uint64_t address, uint64_t value) {
    engine_.write(address, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
  }
  void put_page(uint64_t number, uint64_t entry) { put(kTables + 0x3000 + number * 8, entry); }
  const std::vector<uint64_t>& moved() {
    return code_.take_moved(engine_.engine().mmu().memory(),
                            {.cr0 = 0x8001'0000, .cr3 = kTables, .cr4 = 0x20, .efer = 0xd00});
  }

  testing::FlatEngine engine_{kBase, 0x40'0000};
  UpperCode code_;
};

TEST_F(UpperCodeTest, StaysWhereThePageTablesHaveIt) {
  for (uint64_t i = 0; i < 8; ++i) code_.note(kUpper + i * 0x1000 + 5, kBase + i * 0x1000 + 5);
  code_.note(kUpper + 0x20'3000, 0x80'3000);
  code_.note(kUpper + 0x3f'f000, 0x9f'f000);
  EXPECT_THAT(moved(), ElementsAre());
  put_page(1, (kBase + 0x2000) | kBits);
  put_page(2, 0);
  put_page(3, (kBase + 0x3000) | kBits | kNx);
  put_page(4, (kBase + 0x4000) | kBits | kU);
  put_page(5, (kBase + 0x5000) | kP | kA);  // May not be written any more.
  EXPECT_THAT(moved(),
              UnorderedElementsAre(kUpper + 0x1000, kUpper + 0x2000, kUpper + 0x3000, kUpper + 0x4000));
  EXPECT_THAT(moved(), ElementsAre()) << "they are forgotten";
  put(kTables + 0x2000 + 8, 0xa0'0000 | kBits | kLarge);
  EXPECT_THAT(moved(), UnorderedElementsAre(kUpper + 0x20'3000, kUpper + 0x3f'f000));
}

TEST_F(UpperCodeTest, ThatIsNotOfOnePageMoves) {
  code_.note_unknown(kUpper + 0x1000);
  EXPECT_THAT(moved(), ElementsAre(kUpper + 0x1000));
  code_.note(0x1000, 0x1000);
  EXPECT_THAT(moved(), ElementsAre(0x1000)) << "nothing is mapped there";
  code_.note(kUpper + 0x1000, kBase + 0x1000);
  code_.note(kUpper + 0x2000, kBase + 0x1000);
  code_.forget(kUpper + 0x2fff);
  EXPECT_THAT(moved(), ElementsAre());
}

}  // namespace
}  // namespace alcove::cpu::soft
