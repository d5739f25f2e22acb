// The processor model promises what the instruction table has, and nothing else.
#include "cpu/soft/x86/cpuid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <string>

#include "cpu/soft/apic/apic.h"
#include "cpu/soft/apic/apic_bus.h"
#include "cpu/soft/testing/flat_engine.h"
#include "cpu/soft/x86/row.h"

namespace alcove::cpu::soft {
namespace {

class Nothing final : public IoHandler {
  void port_read(uint16_t, std::span<std::byte>) override {}
  void port_write(uint16_t, std::span<const std::byte>) override {}
  void memory_read(uint64_t, std::span<std::byte>) override {}
  void memory_write(uint64_t, std::span<const std::byte>) override {}
  void end_of_interrupt(uint8_t) override {}
};

class CpuidTest : public ::testing::Test {
 protected:
  CpuidTest() : bus_(io_, [](Cpu&) {}), apic_(bus_, engine_.cpu()) { engine_.cpu().apic = &apic_; }
  CpuidResult leaf(uint32_t number, uint32_t subleaf = 0) { return cpuid(engine_.cpu(), number, subleaf); }

  testing::FlatEngine engine_;
  Nothing io_;
  ApicBus bus_;
  Apic apic_;
};

std::set<std::string> row_features() {
  std::set<std::string> names;
  for (const auto rows : {general_rows(), system_rows(), x87_rows(), sse_rows(), vex_rows()})
    for (const Row& row : rows)
      if (row.feature) names.insert(row.feature);
  return names;
}

TEST_F(CpuidTest, EveryFeatureOfARowIsPromised) {
  std::set<std::string> promised;
  for (const CpuFeature& feature : cpu_features()) promised.insert(feature.name);
  for (const std::string& name : row_features()) EXPECT_TRUE(promised.contains(name)) << name;
}

// Without those that a row has beside what needs no promise (CMPXCHG16B, LAHF in 64-bit mode).
TEST_F(CpuidTest, EveryPromisedInstructionSetHasRows) {
  const std::set<std::string> rows = row_features();
  for (const char* name :
       {"abm",     "adx",        "avx",    "avx2",     "bmi1",     "bmi2",    "clwb",     "f16c",
        "fma",     "movbe",      "rdpid",  "sha_ni",   "xsave",    "xsavec",  "xsaveopt", "aes",
        "clflush", "clflushopt", "cmov",   "fsgsbase", "fxsr",     "invpcid", "mmx",      "pclmulqdq",
        "popcnt",  "rdrand",     "rdseed", "rdtscp",   "sep",      "sse",     "sse2",     "sse3",
        "sse4_1",  "sse4_2",     "ssse3",  "syscall",  "serialize"}) {
    EXPECT_TRUE(rows.contains(name)) << name;
  }
}

TEST_F(CpuidTest, IdentifiesItself) {
  char vendor[13] = {};
  const CpuidResult zero = leaf(0);
  std::memcpy(vendor, &zero.ebx, 4);
  std::memcpy(vendor + 4, &zero.edx, 4);
  std::memcpy(vendor + 8, &zero.ecx, 4);
  EXPECT_STREQ(vendor, "GenuineIntel");
  EXPECT_EQ(leaf(1).eax, kCpuSignature);
  EXPECT_TRUE(leaf(1).ecx >> 31);  // Hypervisor

  char brand[49] = {};
  for (uint32_t i = 0; i < 3; ++i) {
    const CpuidResult part = leaf(0x80000002 + i);
    std::memcpy(brand + 16 * i, &part, 16);
  }
  EXPECT_STREQ(brand, "Alcove Virtual CPU");
}

TEST_F(CpuidTest, LeavesBeyondTheHighestRepeatIt) {
  const CpuidResult highest = leaf(leaf(0).eax, 1);
  const CpuidResult beyond = leaf(0x1000, 1);
  EXPECT_EQ(beyond.ebx, highest.ebx);
  EXPECT_EQ(beyond.ecx, highest.ecx);
}

TEST_F(CpuidTest, PromisesTheBaseline) {
  // x86-64-v2 (System V ABI, AMD64 supplement, table 3.1).
  for (const char* name : {"cmov", "cx8", "fpu", "fxsr", "mmx", "syscall", "sse", "sse2", "cx16", "lahf_lm",
                           "popcnt", "sse3", "sse4_1", "sse4_2", "ssse3"}) {
    const auto features = cpu_features();
    const auto found = std::ranges::find_if(
        features, [&](const CpuFeature& feature) { return feature.name == std::string(name); });
    ASSERT_NE(found, features.end()) << name;
    const CpuidResult result = leaf(found->leaf);
    const std::array<uint32_t, 4> words{result.eax, result.ebx, result.ecx, result.edx};
    EXPECT_TRUE(words[static_cast<size_t>(found->reg)] >> found->bit & 1) << name;
  }
}

}  // namespace
}  // namespace alcove::cpu::soft
