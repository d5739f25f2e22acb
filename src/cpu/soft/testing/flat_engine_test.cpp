#include "cpu/soft/testing/flat_engine.h"

#include <gtest/gtest.h>

#include <vector>

namespace alcove::cpu::soft::testing {
namespace {

TEST(FlatEngine, ExecutesAndReportsFaults) {
  FlatEngine engine;
  const uint64_t start = engine.guest_address();
  // add rax, rcx; add [rdx], eax; ud2
  engine.write(start, std::vector<uint8_t>{0x48, 0x01, 0xc8, 0x01, 0x02, 0x0f, 0x0b});
  engine.cpu().gpr[rax] = 3;
  engine.cpu().gpr[rcx] = 4;
  engine.cpu().gpr[rdx] = start + 0x1000;
  const auto outcome = engine.run(3);
  EXPECT_EQ(outcome.executed, 2u);
  ASSERT_TRUE(outcome.fault);
  EXPECT_EQ(outcome.fault->vector, kInvalidOpcode);
  EXPECT_EQ(engine.cpu().rip, start + 5);
  EXPECT_EQ(engine.cpu().gpr[rax], 7u);
  EXPECT_EQ(engine.memory()[0x1000], std::byte{7});
}

TEST(FlatEngine, NonCanonicalAccessIsAGeneralProtectionFault) {
  FlatEngine engine;
  engine.write(engine.guest_address(), std::vector<uint8_t>{0x01, 0x02});
  engine.cpu().gpr[rdx] = uint64_t{1} << 50;
  const auto outcome = engine.run_blocks(1);
  ASSERT_TRUE(outcome.fault);
  EXPECT_EQ(outcome.fault->vector, kGeneralProtection);
  EXPECT_EQ(outcome.executed, 0u);
}

}  // namespace
}  // namespace alcove::cpu::soft::testing
