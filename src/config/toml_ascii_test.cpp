#include "config/toml_ascii.h"

#include <alcove/virtual_machine_configuration.h>
#include <gtest/gtest.h>

namespace alcove::config {
namespace {

struct Text {
  std::string_view toml;
  std::string_view label;
};
class InPlace : public testing::TestWithParam<Text> {};

TEST_P(InPlace, IsKept) {
  auto read = VirtualMachineConfiguration::from_toml(GetParam().toml);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->label, GetParam().label);
}

INSTANTIATE_TEST_SUITE_P(
    All, InPlace,
    testing::Values(Text{"label = 'ü' # ü", "ü"}, Text{"# ü\nlabel = \"ü\" # \"ü", "ü"},
                    Text{R"(label = "\"ü" # ü)", "\"ü"}, Text{R"(label = 'a\' # ü)", "a\\"},
                    Text{"label = '''\nü'ü''''' # ü", "ü'ü''"},
                    Text{"label = \"\"\"a\\\n  b ü\"\"\"", "ab ü"}, Text{"\xef\xbb\xbflabel = 'ü'", "ü"},
                    Text{"label = '~7e ~' # ~", "~7e ~"}, Text{R"(label = "\u00fc")", "ü"}));

class OutOfPlace : public testing::TestWithParam<std::string_view> {};

TEST_P(OutOfPlace, IsRefusedWithItsLine) {
  auto read = VirtualMachineConfiguration::from_toml(GetParam());
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().where, "line 2") << read.error().message();
}

INSTANTIATE_TEST_SUITE_P(All, OutOfPlace,
                         testing::Values("\nü = 1", "\nlabel = ü", "\nlabel = 'a' ü", "\nlabel = 'a'\u00a0",
                                         "\nlabel = \"\\ü\"", "\nlabel = \"\"\"\"\"\"ü",
                                         "\ncpu_count = -\x01{\"ü\""));

TEST(TomlAscii, RefusesWhatItCannotKeep) {
  EXPECT_FALSE(VirtualMachineConfiguration::from_toml(R"(label = "\u007e41")"));
  EXPECT_FALSE(VirtualMachineConfiguration::from_toml(R"(label = "\U0000007E41")"));
  EXPECT_FALSE(VirtualMachineConfiguration::from_toml("label = '\xff'"));
}

}  // namespace
}  // namespace alcove::config
