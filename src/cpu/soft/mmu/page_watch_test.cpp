#include "cpu/soft/mmu/page_watch.h"

#include <gtest/gtest.h>

namespace alcove::cpu::soft {
namespace {

TEST(PageWatch, StaysWhileCodeChangesOverAndOver) {
  PageState state;
  const auto decode = [&] {
    state.code_lines |= 1;
    state.bits |= PageState::kProtected;
    EXPECT_TRUE(is_watched(state));
  };
  const auto is_protected = [&] { return (state.bits & PageState::kProtected) != 0; };
  for (uint32_t i = 0; i < kOftenRewritten; ++i) {
    decode();
    invalidate_code(state);
    EXPECT_FALSE(is_watched(state));
    EXPECT_FALSE(is_protected());
  }
  for (bool with_code : {false, true}) {
    decode();
    invalidate_code(state);
    EXPECT_TRUE(is_watched(state));
    EXPECT_EQ(state.code_lines, 0u);
    if (with_code) decode();
    for (uint32_t i = 0; i < kQuietWrites; ++i) {
      note_quiet_write(state);
      EXPECT_TRUE(is_protected());
    }
    note_quiet_write(state);
    EXPECT_EQ(is_watched(state), with_code);
    EXPECT_EQ(is_protected(), with_code);
  }
}

}  // namespace
}  // namespace alcove::cpu::soft
