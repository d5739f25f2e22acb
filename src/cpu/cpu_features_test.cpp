#include "cpu/cpu_features.h"

#include <gtest/gtest.h>

namespace alcove::cpu {
namespace {

constexpr CpuidWords kAll{~0u, ~0u, ~0u, ~0u};

CpuidWords filtered(const char* model, bool emulated, uint32_t leaf, uint32_t subleaf = 0) {
  CpuidWords words = kAll;
  CpuidFilter(*config::parse_cpu_model(model), emulated).apply(leaf, subleaf, words);
  return words;
}

TEST(CpuidFilter, LeavesTheHostAsItIs) {
  for (const uint32_t leaf : {1u, 7u, 0xdu, 0x80000001u}) EXPECT_EQ(filtered("host", false, leaf), kAll);
}

TEST(CpuidFilter, RemovesSingleFeatures) {
  constexpr uint32_t kAvx = 1u << 28, kFma = 1u << 12, kF16c = 1u << 29;
  EXPECT_EQ(filtered("host,-avx", false, 1).ecx, ~(kAvx | kFma | kF16c));
  EXPECT_EQ(filtered("host,-avx", false, 1).edx, ~0u);
  EXPECT_EQ(filtered("host,-avx", false, 0xd).eax & 0xe4, 0u);  // What XSAVE would keep of them.
  EXPECT_EQ(filtered("host,-avx", false, 0xd).eax & 3, 3u);
}

TEST(CpuidFilter, LevelsHaveNothingThatIsNotKnown) {
  // EAX and EBX of leaf 1 are no features.
  EXPECT_EQ(filtered("x86-64-v2", false, 1).eax, ~0u);
  EXPECT_EQ(filtered("x86-64-v2", false, 1).ebx, ~0u);
  // SSE3, SSSE3, CX16, SSE4.1, SSE4.2, X2APIC, POPCNT, TSC deadline, hypervisor
  EXPECT_EQ(filtered("x86-64-v2", false, 1).ecx, 0x81b82201u);
  EXPECT_EQ(filtered("x86-64-v2", false, 7, 1), (CpuidWords{}));
  EXPECT_EQ(filtered("x86-64-v2", false, 7).eax, ~0u);  // The number of subleaves
  EXPECT_EQ(filtered("x86-64-v2", false, 0xd).eax, 3u);
  EXPECT_EQ(filtered("x86-64-v3", false, 0xd).eax, 7u);
}

TEST(CpuModelCheck, NamesWhatTheHostLacks) {
  const auto none = [](uint32_t, uint32_t) { return CpuidWords{}; };
  const auto without_bmi = [](uint32_t leaf, uint32_t) {
    return leaf == 7 ? CpuidWords{~0u, ~(1u << 3 | 1u << 8), ~0u, ~0u} : kAll;
  };
  EXPECT_TRUE(check_cpu_model(*config::parse_cpu_model("host"), none));
  EXPECT_TRUE(check_cpu_model(*config::parse_cpu_model("x86-64-v2"), without_bmi));
  const auto result = check_cpu_model(*config::parse_cpu_model("x86-64-v3"), without_bmi);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().where, "cpu_model");
  EXPECT_EQ(result.error().what, "this host can't give bmi1, bmi2");
}

TEST(PhysicalAddressBits, AreTheGuestsIfThoseAreFewer) {
  const auto bits = [](uint32_t eax) { return physical_address_bits({.eax = eax}); };
  EXPECT_EQ(bits(0x3028), 40u);
  EXPECT_EQ(bits(0x3927), 39u);
  EXPECT_EQ(bits(0x00303934), 48u);
  EXPECT_EQ(bits(0x0034392e), 46u);
  EXPECT_EQ(bits(0), 36u);     // KVM told nothing.
  EXPECT_EQ(bits(0xff), 52u);  // What page tables have room for.
}

}  // namespace
}  // namespace alcove::cpu
