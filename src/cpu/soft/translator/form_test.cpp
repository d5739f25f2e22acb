// Every instruction form of the table that a user's process may execute, as translated code: the host's
// processor is the judge.
#include <gtest/gtest.h>

#include "cpu/soft/x86/testing/comparison.h"

namespace alcove::cpu::soft::testing {
namespace {

constexpr uint64_t kSeed = 7;
constexpr unsigned kStandardCount = 200;

void compare_group(std::span<const Row> group) {
  const char* reason = "";
  const auto comparison = Comparison::create(kSeed, reason, CodeMode::bits64, true);
  if (!comparison) GTEST_SKIP() << "no comparison with the host's processor: " << reason;
  const unsigned count = comparison_count(kStandardCount);
  for (const Row& row : group) {
    const auto compiled = compile(row);
    ASSERT_TRUE(compiled);
    if (!comparison->is_comparable(*compiled)) continue;
    if (const auto difference = comparison->run(*compiled, count))
      ADD_FAILURE() << row.mnemonic << " " << row.encoding << "\n" << *difference;
  }
  EXPECT_GT(comparison->compared(), 0u);
  EXPECT_GT(comparison->faulted(), 0u);
}

TEST(TranslatedForms, General) {
  compare_group(general_rows());
}

TEST(TranslatedForms, Sse) {
  compare_group(sse_rows());
}

TEST(TranslatedForms, X87) {
  compare_group(x87_rows());
}

}  // namespace
}  // namespace alcove::cpu::soft::testing
