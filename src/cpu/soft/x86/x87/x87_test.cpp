// x87 behaviour that a comparison with the host's processor in 64-bit mode doesn't reach, and values from the
// Intel SDM.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "cpu/soft/testing/flat_engine.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/x87/state.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kData = 0x100'1000;
constexpr uint8_t kFnstenv[] = {0xd9, 0x37};          // fnstenv [rdi], [edi]
constexpr uint8_t kFnstenv16[] = {0x66, 0xd9, 0x37};  // The 16-bit layout.
constexpr uint8_t kFaddPop[] = {0xde, 0xc1};          // faddp st(1), st(0)

class X87Test : public ::testing::Test {
 protected:
  std::optional<Fault> run(std::span<const uint8_t> code) {
    cpu().rip = engine_.guest_address();
    cpu().gpr[rdi] = kData;
    engine_.write(cpu().rip, code);
    return engine_.run(1).fault;
  }
  std::optional<Fault> run(std::initializer_list<uint8_t> code) { return run(std::vector<uint8_t>(code)); }
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
  Cpu& cpu() { return engine_.cpu(); }
  FpuState& fpu() { return engine_.cpu().fpu; }
  // Pushes a number.
  void push(double value) {
    put(kData, value);
    ASSERT_FALSE(run({0xdd, 0x07}));  // fld qword [rdi]
  }
  double pop() {
    EXPECT_FALSE(run({0xdd, 0x1f}));  // fstp qword [rdi]
    return get<double>(kData);
  }

  testing::FlatEngine engine_;
};

TEST_F(X87Test, StackComputes) {
  push(1.5);
  push(2.25);
  EXPECT_EQ(x87_top(fpu()), 6u);
  ASSERT_FALSE(run(kFaddPop));
  EXPECT_EQ(pop(), 3.75);
  EXPECT_EQ(fpu().tag, 0xffff);
  EXPECT_EQ(x87_top(fpu()), 0u);
}

TEST_F(X87Test, ConstantsFollowRoundingControl) {
  ASSERT_FALSE(run({0xd9, 0xeb}));  // fldpi
  EXPECT_EQ(x87_stack(fpu(), 0).significand, 0xc90fdaa22168c235u);
  fpu().control = 0x37f | 1 << 10;  // Down
  ASSERT_FALSE(run({0xd9, 0xeb}));
  EXPECT_EQ(x87_stack(fpu(), 0).significand, 0xc90fdaa22168c234u);
}

TEST_F(X87Test, EmptyRegisterIsAStackFault) {
  push(1.0);
  ASSERT_FALSE(run(kFaddPop));
  EXPECT_EQ(fpu().status & 0x241, 0x41);  // IE and SF; C1 clear: underflow.
  // The result is the indefinite.
  EXPECT_EQ(x87_stack(fpu(), 0).significand, 0xc000000000000000u);
  EXPECT_EQ(x87_stack(fpu(), 0).exponent, 0xffff);
}

TEST_F(X87Test, UnmaskedExceptionWaitsForTheNextInstruction) {
  put<uint16_t>(kData, 0x37b);      // Division by zero unmasked.
  ASSERT_FALSE(run({0xd9, 0x2f}));  // fldcw [rdi]
  push(1.0);
  push(0.0);
  ASSERT_FALSE(run({0xde, 0xf9}));  // fdivp: the exception becomes pending, nothing is popped.
  EXPECT_EQ(fpu().status & 0x8084, 0x8084);
  EXPECT_EQ(x87_top(fpu()), 6u);
  for (const std::vector<uint8_t>& waiting : {std::vector<uint8_t>{0xd9, 0xc0}, std::vector<uint8_t>{0x9b},
                                              std::vector<uint8_t>{0x0f, 0xef, 0xc0}}) {
    const auto fault = run(waiting);  // fld st(0); fwait; pxor mm0, mm0
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->vector, kX87Error);
  }
  ASSERT_FALSE(run({0xdf, 0xe0}));  // fnstsw ax doesn't wait,
  EXPECT_EQ(cpu().gpr[rax] & 0x80, 0x80u);
  ASSERT_FALSE(run({0xdb, 0xe2}));  // nor does fnclex.
  EXPECT_EQ(fpu().status & 0x80ff, 0);
  EXPECT_FALSE(run({0x9b}));
}

TEST_F(X87Test, WithoutNumericErrorPendingExceptionsAreIgnored) {
  cpu().cr0 &= ~uint64_t{0x20};
  update_mode(cpu());
  fpu().control = 0x37b;
  fpu().status = 0x8084;
  EXPECT_FALSE(run({0x9b}));
  push(1.0);
  EXPECT_EQ(fpu().status & 0x8084, 0x8084);
}

TEST_F(X87Test, LoadingTheControlWordCanMakeAnOldExceptionPending) {
  fpu().status = 0x20;
  put<uint16_t>(kData, 0x35f);      // Loss of precision unmasked.
  ASSERT_FALSE(run({0xd9, 0x2f}));  // fldcw [rdi]
  EXPECT_EQ(fpu().status, 0x80a0);
}

TEST_F(X87Test, WaitTrapsOnlyWithMonitorAndTaskSwitched) {
  const auto with_cr0 = [&](uint64_t cr0, std::initializer_list<uint8_t> code) {
    cpu().cr0 = cr0;
    update_mode(cpu());
    const auto fault = run(code);
    return fault ? int{fault->vector} : -1;
  };
  EXPECT_EQ(with_cr0(0x39, {0x9b}), -1);                   // TS
  EXPECT_EQ(with_cr0(0x3b, {0x9b}), kDeviceNotAvailable);  // MP and TS
  EXPECT_EQ(with_cr0(0x35, {0x9b}), -1);                   // EM
  EXPECT_EQ(with_cr0(0x39, {0xd9, 0xe8}), kDeviceNotAvailable);
  EXPECT_EQ(with_cr0(0x35, {0xd9, 0xe8}), kDeviceNotAvailable);
  EXPECT_EQ(with_cr0(0x35, {0x0f, 0xef, 0xc0}), kInvalidOpcode);  // MMX
  EXPECT_EQ(with_cr0(0x39, {0x0f, 0xef, 0xc0}), kDeviceNotAvailable);
  EXPECT_EQ(with_cr0(0x35, {0x0f, 0x57, 0xc0}), kInvalidOpcode);  // SSE
  EXPECT_EQ(with_cr0(0x39, {0x0f, 0x57, 0xc0}), kDeviceNotAvailable);
  cpu().cr4 &= ~uint64_t{0x200};
  EXPECT_EQ(with_cr0(0x33, {0x0f, 0x57, 0xc0}), kInvalidOpcode);
  EXPECT_EQ(with_cr0(0x33, {0x0f, 0xef, 0xc0}), -1);
}

TEST_F(X87Test, PointersNameTheLastInstructionAndItsOperand) {
  push(1.0);
  EXPECT_EQ(fpu().last_instruction, engine_.guest_address());
  EXPECT_EQ(fpu().last_instruction_selector, cpu().segments[cs].selector);
  EXPECT_EQ(fpu().last_opcode, 0x507);
  EXPECT_EQ(fpu().last_data, kData);
  ASSERT_FALSE(run({0xd9, 0xe8}));  // fld1 has no operand in memory.
  EXPECT_EQ(fpu().last_opcode, 0x1e8);
  EXPECT_EQ(fpu().last_data, kData);
}

// The environment's four layouts: Intel SDM vol. 1, figures 8-9 to 8-12.
class X87EnvironmentTest : public X87Test {
 protected:
  void SetUp() override {
    fpu().control = 0x340;
    fpu().status = 0x3800;
    fpu().tag = 0x3fff;
    fpu().physical[7] = {0, 0};  // Zero.
    fpu().last_instruction = 0x1234'5678;
    fpu().last_instruction_selector = 0x9abc;
    fpu().last_opcode = 0x507;
    fpu().last_data = 0x8765'4321;
    fpu().last_data_selector = 0xcba9;
  }
  void real_mode() {
    engine_.set_code_size(4);
    cpu().efer = 0;
    cpu().cr0 &= ~uint64_t{1};
    update_mode(cpu());
    fpu().last_instruction = 0x5678;
    fpu().last_instruction_selector = 0x1000;
    fpu().last_data = 0x4321;
    fpu().last_data_selector = 0x2000;
  }
};

TEST_F(X87EnvironmentTest, Protected32) {
  ASSERT_FALSE(run(kFnstenv));
  const uint32_t expected[] = {0xffff0340, 0xffff3800, 0xffff7fff, 0x12345678,
                               0x05079abc, 0x87654321, 0xffffcba9};
  for (unsigned i = 0; i < 7; ++i) EXPECT_EQ(get<uint32_t>(kData + 4 * i), expected[i]) << i;
  EXPECT_EQ(fpu().control, 0x37f);  // All masked now.
  fpu() = {};
  ASSERT_FALSE(run({0xd9, 0x27}));  // fldenv [rdi]
  EXPECT_EQ(fpu().control, 0x340);
  EXPECT_EQ(fpu().tag, 0x3fff);
  EXPECT_EQ(fpu().last_instruction, 0x12345678u);
  EXPECT_EQ(fpu().last_opcode, 0x507);
  EXPECT_EQ(fpu().last_data_selector, 0xcba9);
}

TEST_F(X87EnvironmentTest, Protected16) {
  ASSERT_FALSE(run(kFnstenv16));
  const uint16_t expected[] = {0x340, 0x3800, 0x7fff, 0x5678, 0x9abc, 0x4321, 0xcba9};
  for (unsigned i = 0; i < 7; ++i) EXPECT_EQ(get<uint16_t>(kData + 2 * i), expected[i]) << i;
}

TEST_F(X87EnvironmentTest, Real32) {
  real_mode();
  ASSERT_FALSE(run(kFnstenv));
  const uint32_t expected[] = {0xffff0340, 0xffff3800, 0xffff7fff, 0xffff5678,
                               0x00001507, 0xffff4321, 0x00002000};
  for (unsigned i = 0; i < 7; ++i) EXPECT_EQ(get<uint32_t>(kData + 4 * i), expected[i]) << i;
}

TEST_F(X87EnvironmentTest, Real16) {
  real_mode();
  ASSERT_FALSE(run(kFnstenv16));
  const uint16_t expected[] = {0x340, 0x3800, 0x7fff, 0x5678, 0x1507, 0x4321, 0x2000};
  for (unsigned i = 0; i < 7; ++i) EXPECT_EQ(get<uint16_t>(kData + 2 * i), expected[i]) << i;
}

TEST_F(X87EnvironmentTest, WholeStateComesBack) {
  fpu().tag = 0;
  for (unsigned i = 0; i < 8; ++i)
    fpu().physical[i] = {uint64_t{1} << 63 | i, static_cast<uint16_t>(0x3fff + i)};
  const FpuState before = fpu();
  ASSERT_FALSE(run({0xdd, 0x37}));  // fnsave [rdi]
  EXPECT_EQ(fpu().tag, 0xffff);
  EXPECT_EQ(fpu().control, 0x37f);
  EXPECT_EQ(get<uint64_t>(kData + 28), before.physical[7].significand);  // ST(0)
  EXPECT_EQ(get<uint16_t>(kData + 36), before.physical[7].exponent);
  ASSERT_FALSE(run({0xdd, 0x27}));  // frstor [rdi]
  EXPECT_EQ(fpu().status, before.status);
  EXPECT_EQ(fpu().tag, 0);
  for (unsigned i = 0; i < 8; ++i) {
    EXPECT_EQ(fpu().physical[i].significand, before.physical[i].significand);
    EXPECT_EQ(fpu().physical[i].exponent, before.physical[i].exponent);
  }
}

}  // namespace
}  // namespace alcove::cpu::soft
