#include "cli/escape_filter.h"

#include <gtest/gtest.h>

namespace alcove::cli {
namespace {

struct Seen {
  std::string guest, commands;
  int opened = 0;
};

Seen feed(std::initializer_list<std::string_view> pieces) {
  EscapeFilter filter;
  Seen seen;
  for (std::string_view piece : pieces) {
    seen.guest += filter.feed(piece, [&] { ++seen.opened; }, [&](char key) { seen.commands += key; });
  }
  return seen;
}

TEST(EscapeFilter, PassesOrdinaryKeys) {
  EXPECT_EQ(feed({"ls -l\r", "\x03"}).guest, "ls -l\r\x03");
}

TEST(EscapeFilter, TakesTheKeyBehindTheEscape) {
  const Seen seen = feed({"a\x1dqb"});
  EXPECT_EQ(seen.guest, "ab");
  EXPECT_EQ(seen.commands, "q");
  EXPECT_EQ(seen.opened, 1);
}

TEST(EscapeFilter, RemembersTheEscapeBetweenReads) {
  const Seen seen = feed({"\x1d", "s", "s"});
  EXPECT_EQ(seen.guest, "s");
  EXPECT_EQ(seen.commands, "s");
}

TEST(EscapeFilter, SendsADoubledEscape) {
  const Seen seen = feed({"\x1d\x1dx"});
  EXPECT_EQ(seen.guest, "\x1dx");
  EXPECT_EQ(seen.commands, "");
}

}  // namespace
}  // namespace alcove::cli
