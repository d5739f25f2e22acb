// Values from the Intel SDM's descriptions; all else is compared with the host's CPU (x86/testing).
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <vector>

#include "cpu/soft/testing/flat_engine.h"
#include "cpu/soft/x86/sse/mxcsr.h"
#include "cpu/soft/x86/sse/operands.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kData = 0x100'1000;

class SseTest : public ::testing::Test {
 protected:
  // Runs one instruction; memory operands are written as [rdi], which is kData.
  std::optional<Fault> run(std::vector<uint8_t> code) {
    Cpu& cpu = engine_.cpu();
    cpu.rip = engine_.guest_address();
    cpu.gpr[rdi] = kData;
    engine_.write(cpu.rip, code);
    return engine_.run(1).fault;
  }
  template <class T>
  void put(uint64_t address, const T& value) {
    std::memcpy(engine_.memory().data() + (address - engine_.guest_address()), &value, sizeof value);
  }
  template <class T>
  T get(uint64_t address) {
    T value;
    std::memcpy(&value, engine_.memory().data() + (address - engine_.guest_address()), sizeof value);
    return value;
  }
  Xmm xmm(unsigned number) { return read_xmm<Xmm>(cpu(), number); }
  template <class T>
  void set_xmm(unsigned number, T value) {
    write_xmm(cpu(), number, value);
  }
  template <class T>
  void set_low(unsigned number, T value) {
    write_xmm(cpu(), number,
              Xmm{std::bit_cast<std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>>(value), 0});
  }
  double low_double(unsigned number) { return std::bit_cast<double>(xmm(number)[0]); }
  Cpu& cpu() { return engine_.cpu(); }

  testing::FlatEngine engine_;
};

void expect_equal(Xmm actual, Xmm expected) {
  EXPECT_EQ(actual[0], expected[0]);
  EXPECT_EQ(actual[1], expected[1]);
}

TEST_F(SseTest, LoadsOfAScalarClearTheRestAndMovesKeepIt) {
  set_xmm(0, Xmm{~0ull, ~0ull});
  put<uint64_t>(kData, 0x1122334455667788);
  ASSERT_FALSE(run({0xf3, 0x0f, 0x10, 0x07}));  // movss xmm0, [rdi]
  expect_equal(xmm(0), Xmm{0x55667788, 0});
  set_xmm(1, Xmm{~0ull, ~0ull});
  ASSERT_FALSE(run({0xf3, 0x0f, 0x10, 0xc8}));  // movss xmm1, xmm0
  expect_equal(xmm(1), Xmm{0xffffffff55667788, ~0ull});
}

TEST_F(SseTest, MisalignedOperandFaultsAndChangesNothing) {
  set_xmm(0, Xmm{1, 2});
  for (const uint8_t displacement : {1, 8}) {
    const auto fault = run({0x66, 0x0f, 0xef, 0x47, displacement});  // pxor xmm0, [rdi+displacement]
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->vector, kGeneralProtection);
    EXPECT_EQ(fault->error_code, 0u);
    expect_equal(xmm(0), Xmm{1, 2});
  }
  EXPECT_FALSE(run({0xf3, 0x0f, 0x6f, 0x47, 0x01}));  // movdqu xmm0, [rdi+1]
}

TEST_F(SseTest, ArithmeticRoundsAsMxcsrSaysAndCollectsFlags) {
  set_low(0, 1.0);
  set_low(1, 3.0);
  write_mxcsr(cpu(), 0x1f80 | 1u << 14);        // Towards plus infinity.
  ASSERT_FALSE(run({0xf2, 0x0f, 0x5e, 0xc1}));  // divsd xmm0, xmm1
  EXPECT_EQ(low_double(0), 0x1.5555555555556p-2);
  EXPECT_EQ(read_mxcsr(cpu()), 0x1f80u | 1u << 14 | 0x20);  // Inexact.
  set_low(0, 1.0);
  write_mxcsr(cpu(), 0x1f80);
  ASSERT_FALSE(run({0xf2, 0x0f, 0x5e, 0xc1}));
  EXPECT_EQ(low_double(0), 0x1.5555555555555p-2);
  volatile double one = 1.0, three = 3.0;
  EXPECT_EQ(one / three, 0x1.5555555555555p-2) << "the host's own rounding mode was not restored";
}

TEST_F(SseTest, UnmaskedExceptionLeavesTheDestinationAlone) {
  set_low(0, 1.0);
  set_low(1, 0.0);
  write_mxcsr(cpu(), 0x1f80 & ~(1u << 9));  // Zero divide unmasked.
  auto fault = run({0xf2, 0x0f, 0x5e, 0xc1});
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->vector, kSimdError);
  EXPECT_EQ(low_double(0), 1.0);
  EXPECT_EQ(read_mxcsr(cpu()) & kMxcsrFlags, 4u);
  cpu().cr4 &= ~(1u << 10);  // OSXMMEXCPT
  fault = run({0xf2, 0x0f, 0x5e, 0xc1});
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->vector, kInvalidOpcode);
}

TEST_F(SseTest, UnmaskedUnderflowAlsoComesFromExactTinyResults) {
  set_low(0, 0x1p-1022);
  set_low(1, 0.5);
  write_mxcsr(cpu(), 0x1f80 & ~(1u << 11));
  const auto fault = run({0xf2, 0x0f, 0x59, 0xc1});  // mulsd xmm0, xmm1
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->vector, kSimdError);
  EXPECT_EQ(read_mxcsr(cpu()) & 0x10, 0x10u);
  EXPECT_EQ(low_double(0), 0x1p-1022);
}

TEST_F(SseTest, ConversionOutOfRangeGivesTheIntegerIndefinite) {
  set_low(0, 1e30);
  ASSERT_FALSE(run({0xf2, 0x0f, 0x2c, 0xc0}));  // cvttsd2si eax, xmm0
  EXPECT_EQ(cpu().gpr[rax], 0x80000000u);
  ASSERT_FALSE(run({0xf2, 0x48, 0x0f, 0x2c, 0xc0}));
  EXPECT_EQ(cpu().gpr[rax], 0x8000000000000000u);
}

TEST_F(SseTest, MmxInstructionsMakeAllRegistersValid) {
  cpu().fpu.status = 3 << 11;
  ASSERT_FALSE(run({0x0f, 0xef, 0xc0}));  // pxor mm0, mm0
  EXPECT_EQ(cpu().fpu.tag, 0);
  EXPECT_EQ(cpu().fpu.status, 0);
  EXPECT_EQ(cpu().fpu.physical[0].exponent, 0xffff);
  ASSERT_FALSE(run({0x0f, 0x77}));  // emms
  EXPECT_EQ(cpu().fpu.tag, 0xffff);
}

TEST_F(SseTest, LoadingReservedMxcsrBitsFaults) {
  put<uint32_t>(kData, 0x11f80);
  const auto fault = run({0x0f, 0xae, 0x17});  // ldmxcsr [rdi]
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->vector, kGeneralProtection);
  put<uint32_t>(kData, 0x9fc0);
  ASSERT_FALSE(run({0x0f, 0xae, 0x17}));
  ASSERT_FALSE(run({0x0f, 0xae, 0x5f, 0x04}));  // stmxcsr [rdi+4]
  EXPECT_EQ(get<uint32_t>(kData + 4), 0x9fc0u);
}

TEST_F(SseTest, FxsaveImageComesBack) {
  for (unsigned i = 0; i < 16; ++i) set_xmm(i, Xmm{i, i + 100});
  for (unsigned i = 0; i < 8; ++i) cpu().fpu.physical[i] = {uint64_t{1} << 63 | i, 0x3fff};
  cpu().fpu.status = 5 << 11;
  cpu().fpu.tag = 0x03ff;  // R5-R7 are in use.
  const FpuState before = cpu().fpu;
  ASSERT_FALSE(run({0x48, 0x0f, 0xae, 0x07}));  // fxsave64 [rdi]
  EXPECT_EQ(get<uint8_t>(kData + 4), 0xe0);
  EXPECT_EQ(get<uint64_t>(kData + 32), before.physical[5].significand);
  EXPECT_EQ(get<uint32_t>(kData + 28), 0xffffu);
  cpu().fpu = {};
  ASSERT_FALSE(run({0x48, 0x0f, 0xae, 0x0f}));  // fxrstor64 [rdi]
  for (unsigned i = 0; i < 16; ++i) expect_equal(xmm(i), Xmm{i, i + 100});
  EXPECT_EQ(cpu().fpu.tag, before.tag);
  EXPECT_EQ(cpu().fpu.status, before.status);
  for (unsigned i = 0; i < 8; ++i) {
    EXPECT_EQ(cpu().fpu.physical[i].significand, before.physical[i].significand);
    EXPECT_EQ(cpu().fpu.physical[i].exponent, before.physical[i].exponent);
  }
}

TEST_F(SseTest, MaskedStoreWritesOnlyChosenBytes) {
  put<uint64_t>(kData, 0);
  put<uint64_t>(kData + 8, 0);
  set_xmm(0, Xmm{0x1111111111111111, 0x2222222222222222});
  set_xmm(1, Xmm{0x80, 0x8000000000000000});
  ASSERT_FALSE(run({0x66, 0x0f, 0xf7, 0xc1}));  // maskmovdqu xmm0, xmm1
  EXPECT_EQ(get<uint64_t>(kData), 0x11u);
  EXPECT_EQ(get<uint64_t>(kData + 8), 0x2200000000000000u);
}

}  // namespace
}  // namespace alcove::cpu::soft
