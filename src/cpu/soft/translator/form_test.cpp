// Every instruction form of the table that a user's process may execute, as translated code: the host's
// processor is the judge.
#include <gtest/gtest.h>

#include "cpu/soft/x86/testing/compare_rows.h"

namespace alcove::cpu::soft::testing {
namespace {

void compare_group(std::span<const Row> group) {
  compare_rows(group, {.seed = 7, .standard_count = 200, .translated = true});
}

TEST(TranslatedForms, General) {
  compare_group(general_rows());
}

TEST(TranslatedForms, Sse) {
  compare_group(sse_rows());
}

TEST(TranslatedForms, Vex) {
  compare_group(vex_rows());
}

TEST(TranslatedForms, X87) {
  compare_group(x87_rows());
}

}  // namespace
}  // namespace alcove::cpu::soft::testing
