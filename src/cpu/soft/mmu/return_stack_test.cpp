#include "cpu/soft/mmu/return_stack.h"

#include <gtest/gtest.h>

#include <utility>

#include "cpu/soft/testing/pages.h"

namespace alcove::cpu::soft {
namespace {

struct ReturnStackTest : ::testing::Test {
  // As translated code does.
  void call(uint64_t guest, uint64_t host) {
    push(guest);
    push(host);
  }
  void push(uint64_t value) {
    rsp -= 8;
    *reinterpret_cast<uint64_t*>(rsp) = value;
  }
  uint64_t pop() { return *reinterpret_cast<const uint64_t*>(std::exchange(rsp, rsp + 8)); }
  uint64_t limit() const { return memory_.begin() + ReturnStack::kGuard; }

  testing::Pages memory_{ReturnStack::kMemory};
  ReturnStack stack_{memory_.begin()};
  uint64_t rsp = stack_.top();
};

TEST_F(ReturnStackTest, ForgetsReturnsIntoAPage) {
  const uint64_t empty = rsp;
  call(0x1234, 1);
  call(0x3000, 2);
  stack_.set_top(rsp);
  stack_.clear_range(0x2000, 0x1000);
  EXPECT_EQ(stack_.top(), rsp);
  stack_.clear_range(0x1000, 0x1000);
  EXPECT_EQ(stack_.top(), empty);
  stack_.clear_range(0x1000, 0x1000);
  EXPECT_EQ(stack_.top(), empty);
}

TEST_F(ReturnStackTest, KeepsTheNewestWhenFull) {
  uint64_t count = 0;
  while (rsp != limit()) {
    ++count;
    call(count, ~count);
  }
  EXPECT_EQ(count, ReturnStack::kSize / 16);
  uint64_t other = rsp;
  EXPECT_FALSE(stack_.make_room(limit(), other)) << "no access to the guard";
  other += 16;
  EXPECT_FALSE(stack_.make_room(limit() - 8, other)) << "not full";
  ASSERT_TRUE(stack_.make_room(limit() - 8, rsp));
  for (uint64_t i = 0; i < ReturnStack::kSize / 32; ++i) {
    EXPECT_EQ(pop(), ~(count - i));
    EXPECT_EQ(pop(), count - i);
  }
  EXPECT_EQ(rsp, stack_.top());
}

TEST_F(ReturnStackTest, MayEndInTheMiddleOfAnEntry) {
  const auto* const empty = reinterpret_cast<const uint8_t*>(0x1234);
  push(1);  // A window's.
  while (rsp != limit()) rsp - 8 == limit() ? push(2) : call(3, 4);
  ASSERT_TRUE(stack_.make_room(limit() - 8, rsp));
  stack_.set_bottom(empty);
  pop();
  while (rsp < stack_.top()) {
    EXPECT_EQ(pop(), 4u);
    if (rsp < stack_.top()) {
      EXPECT_EQ(pop(), 3u);
    }
  }
  EXPECT_EQ(pop(), reinterpret_cast<uint64_t>(empty)) << "for the guest's address";
  EXPECT_EQ(pop(), reinterpret_cast<uint64_t>(empty)) << "returned to";
  stack_.set_top(rsp);
  EXPECT_EQ(stack_.top(), limit() + ReturnStack::kSize);
}

}  // namespace
}  // namespace alcove::cpu::soft
