// XSAVE and its relatives: what they write, what they leave alone, what they refuse.
#include <gtest/gtest.h>

#include <cstring>

#include "cpu/soft/testing/flat_engine.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/host_features.h"
#include "cpu/soft/x86/sse/upper_halves.h"

namespace alcove::cpu::soft {
namespace {

class XsaveTest : public ::testing::Test {
 protected:
  static constexpr size_t kArea = 0x2000, kSize = 832, kHeader = 512, kUpper = 576;
  static constexpr uint64_t kOsxsave = 1u << 18;

  XsaveTest() {
    cpu().cr4 |= kOsxsave;
    cpu().xcr0 = 3;
    update_mode(cpu());
    std::memset(area(0), 0xee, kSize);
    std::memset(area(kHeader), 0, 64);
    cpu().gpr[rbx] = engine_.guest_address() + kArea;
    select(7);
  }

  Cpu& cpu() { return engine_.cpu(); }
  std::byte* area(size_t offset) { return engine_.memory().data() + kArea + offset; }
  uint64_t word(size_t offset) {
    uint64_t value;
    std::memcpy(&value, area(offset), sizeof value);
    return value;
  }
  void set_word(size_t offset, uint64_t value) { std::memcpy(area(offset), &value, sizeof value); }
  void select(uint64_t components) {
    cpu().gpr[rax] = components;
    cpu().gpr[rdx] = 0;
  }
  // With operand [RBX].
  std::optional<Fault> run(std::initializer_list<uint8_t> code) {
    cpu().rip = engine_.guest_address() + 0x400;
    engine_.write(cpu().rip, std::vector<uint8_t>(code));
    return engine_.run(1).fault;
  }
  std::optional<Fault> xsave() { return run({0x48, 0x0f, 0xae, 0x23}); }
  std::optional<Fault> xsaveopt() { return run({0x48, 0x0f, 0xae, 0x33}); }
  std::optional<Fault> xsavec() { return run({0x48, 0x0f, 0xc7, 0x23}); }
  std::optional<Fault> xrstor() { return run({0x48, 0x0f, 0xae, 0x2b}); }
  void use_upper() {
    cpu().xcr0 = 7;
    for (unsigned i = 0; i < 16; ++i) write_ymm(cpu().fpu, i, {{i, i + 100, i + 200, i + 300}});
  }

  testing::FlatEngine engine_;
};

TEST_F(XsaveTest, NeedsTheOperatingSystem) {
  cpu().cr4 &= ~kOsxsave;
  const auto fault = xsave();
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->vector, kInvalidOpcode);
}

TEST_F(XsaveTest, WantsAlignment) {
  cpu().gpr[rbx] += 16;
  const auto fault = xsave();
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->vector, kGeneralProtection);
}

TEST_F(XsaveTest, SavesWhatIsAskedFor) {
  use_upper();
  select(2);
  EXPECT_FALSE(xsave());
  EXPECT_EQ(word(160 + 16 * 3), 3u);
  EXPECT_EQ(word(160 + 16 * 3 + 8), 103u);
  EXPECT_EQ(word(0), 0xeeee'eeee'eeee'eeee);
  EXPECT_EQ(word(kUpper), 0xeeee'eeee'eeee'eeee);
  EXPECT_EQ(word(kHeader), 2u);
  EXPECT_EQ(word(24), 0x0000'ffff'0000'1f80);
  // And adds to what the header says.
  select(4);
  EXPECT_FALSE(xsave());
  EXPECT_EQ(word(kUpper + 16 * 5), 205u);
  EXPECT_EQ(word(kHeader), 6u);
}

TEST_F(XsaveTest, LeavesOutWhatIsNotInUse) {
  cpu().xcr0 = 7;
  cpu().fpu.ymm[1].words[0] = 1;
  EXPECT_FALSE(xsaveopt());
  EXPECT_EQ(word(kHeader) & 6, 2u);
  EXPECT_EQ(word(kUpper), 0xeeee'eeee'eeee'eeee);
}

TEST_F(XsaveTest, BringsBackWhatItSaved) {
  use_upper();
  for (const bool compacted : {false, true}) {
    std::memset(area(kHeader), 0, 64);
    EXPECT_FALSE(compacted ? xsavec() : xsave());
    EXPECT_EQ(word(kHeader + 8), compacted ? uint64_t{1} << 63 | 7 : 0);
    const FpuState saved = cpu().fpu;
    cpu().fpu.ymm = {};
    cpu().fpu.upper_in_use = false;
    cpu().fpu.mxcsr = 0x9f80;
    cpu().fpu.control = 0x27f;
    EXPECT_FALSE(xrstor());
    EXPECT_TRUE(cpu().fpu.upper_in_use);
    for (unsigned i = 0; i < 16; ++i) EXPECT_EQ(cpu().fpu.ymm[i].words, saved.ymm[i].words);
    EXPECT_EQ(cpu().fpu.mxcsr, saved.mxcsr);
    EXPECT_EQ(cpu().fpu.control, saved.control);
  }
}

TEST_F(XsaveTest, InitializesWhatIsAbsent) {
  use_upper();
  cpu().fpu.control = 0x27f;
  EXPECT_FALSE(xsavec());
  set_word(kHeader, 2);
  EXPECT_FALSE(xrstor());
  EXPECT_EQ(cpu().fpu.control, 0x37f);
  EXPECT_FALSE(cpu().fpu.upper_in_use);
  EXPECT_EQ(cpu().fpu.ymm[3].words[1], 103u);
}

TEST_F(XsaveTest, RefusesHeadersThatMakeNoSense) {
  cpu().xcr0 = 3;
  const struct {
    size_t offset;
    uint64_t value;
  } wrong[] = {{kHeader, 4}, {kHeader + 8, 1}, {kHeader + 8, uint64_t{1} << 63 | 4}, {kHeader + 16, 1}};
  for (const auto& [offset, value] : wrong) {
    std::memset(area(kHeader), 0, 64);
    set_word(24, 0x1f80);
    set_word(offset, value);
    const auto fault = xrstor();
    ASSERT_TRUE(fault) << offset;
    EXPECT_EQ(fault->vector, kGeneralProtection);
  }
  std::memset(area(kHeader), 0, 64);
  set_word(24, 0x10000);
  EXPECT_TRUE(xrstor());
  set_word(24, 0x1f80);
  EXPECT_FALSE(xrstor());
}

TEST_F(XsaveTest, ControlRegister) {
  cpu().gpr[rcx] = 0;
  select(7);
  const auto set = [&] { return run({0x0f, 0x01, 0xd1}); };
  EXPECT_EQ(set().has_value(), !host_runs_avx());
  select(5);
  EXPECT_TRUE(set());
  select(2);
  EXPECT_TRUE(set());
  select(3);
  EXPECT_FALSE(set());
  EXPECT_EQ(cpu().xcr0, 3u);
  cpu().gpr[rcx] = 1;
  EXPECT_TRUE(set());
  cpu().fpu = {};
  cpu().fpu.ymm[9].words[1] = 1;
  EXPECT_FALSE(run({0x0f, 0x01, 0xd0}));
  EXPECT_EQ(cpu().gpr[rax], 2u);
}

}  // namespace
}  // namespace alcove::cpu::soft
