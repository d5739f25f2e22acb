#include "cpu/soft/x86/testing/compare_rows.h"

#include <gtest/gtest.h>

#include "cpu/soft/x86/testing/comparison.h"

namespace alcove::cpu::soft::testing {

void compare_rows(std::span<const Row> group, const RowsToCompare& how) {
  const char* reason = "";
  const auto comparison = Comparison::create(how.seed, reason, how.mode, how.translated);
  if (!comparison) GTEST_SKIP() << "no comparison with the host's processor: " << reason;
  const unsigned count = comparison_count(how.standard_count);
  for (const Row& row : group) {
    const auto compiled = compile(row);
    ASSERT_TRUE(compiled);
    if (!comparison->is_comparable(*compiled)) continue;
    if (const auto difference = comparison->run(*compiled, count))
      ADD_FAILURE() << row.mnemonic << " " << row.encoding << "\n" << *difference;
  }
  EXPECT_GT(comparison->compared(), 0u);
  EXPECT_GT(comparison->faulted(), 0u);
  EXPECT_LT(comparison->faulted(), comparison->compared() / 2);
}

}  // namespace alcove::cpu::soft::testing
