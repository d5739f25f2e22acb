#include "config/toml_characters.h"

#include <alcove/virtual_machine_configuration.h>
#include <gtest/gtest.h>

namespace alcove::config {
namespace {

class InPlace : public testing::TestWithParam<std::string_view> {};

TEST_P(InPlace, IsAccepted) {
  EXPECT_TRUE(check_characters(GetParam()));
  auto read = VirtualMachineConfiguration::from_toml(GetParam());
  EXPECT_TRUE(read) << read.error().message();
}

INSTANTIATE_TEST_SUITE_P(All, InPlace,
                         testing::Values("label = 'ü' # ü", "# ü\nlabel = \"ü\" # \"ü",
                                         R"(label = "\"ü" # ü)", R"(label = 'a\' # ü)",
                                         "label = '''\nü'ü''''' # ü", "label = \"\"\"\nü\"ü\"\"\"\"\" # ü",
                                         "label = \"\"\"a\\\n  b ü\"\"\"", "\xef\xbb\xbflabel = 'ü'"));

class OutOfPlace : public testing::TestWithParam<std::string_view> {};

TEST_P(OutOfPlace, IsRefusedWithItsLine) {
  auto checked = check_characters(GetParam());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().where, "line 2");
  EXPECT_FALSE(VirtualMachineConfiguration::from_toml(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(All, OutOfPlace,
                         testing::Values("\nü = 1", "\nlabel = ü", "\nlabel = 'a' ü", "\nlabel = 'a'\u00a0",
                                         "\nlabel = \"\\ü\"", "label = \"\"\"a\\\n ü\"\"\"",
                                         "\nlabel = \"\"\"\"\"\"ü", "\nlabel = ''''''ü",
                                         "label = 'open\nü = 1"));

}  // namespace
}  // namespace alcove::config
