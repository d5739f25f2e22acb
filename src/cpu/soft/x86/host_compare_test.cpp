// Every instruction form of the table that a user's process may execute, on random and on edge operands: the
// host's processor is the judge.
#include <gtest/gtest.h>

#include "cpu/soft/x86/testing/compare_rows.h"

namespace alcove::cpu::soft::testing {
namespace {

void compare_group(std::span<const Row> group, CodeMode mode = CodeMode::bits64) {
  compare_rows(group, {.seed = 1, .standard_count = 120, .mode = mode});
}

TEST(HostCompare, General) {
  compare_group(general_rows());
}

TEST(HostCompare, GeneralInCompatibilityMode) {
  compare_group(general_rows(), CodeMode::bits32);
}

TEST(HostCompare, GeneralIn16BitCompatibilityMode) {
  compare_group(general_rows(), CodeMode::bits16);
}

TEST(HostCompare, Sse) {
  compare_group(sse_rows());
}

TEST(HostCompare, Vex) {
  compare_group(vex_rows());
}

TEST(HostCompare, VexInCompatibilityMode) {
  compare_group(vex_rows(), CodeMode::bits32);
}

TEST(HostCompare, X87) {
  compare_group(x87_rows());
}

}  // namespace
}  // namespace alcove::cpu::soft::testing
