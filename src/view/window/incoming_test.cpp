#include <gtest/gtest.h>

#include "view/window/messages.h"

namespace alcove::view::window {
namespace {

// What an item is, for comparisons.
std::string name_of(const std::optional<Incoming::Item>& item) {
  if (!item) return "nothing";
  if (const auto* line = std::get_if<std::string>(&*item)) return "line " + *line;
  const auto& contents = std::get<ClipboardContents>(*item);
  return "contents " + contents.text.value_or("-") + " " +
         (contents.png ? std::to_string(contents.png->size()) : "-");
}

TEST(Incoming, TakesLinesAndContentsApart) {
  Incoming incoming;
  incoming.feed("release\n" + to_bytes({.text = "two\nlines"}) + to_bytes({.png = {{std::byte{7}}}}) +
                to_bytes({}) + "stop\nsto");
  EXPECT_EQ(name_of(incoming.next()), "line release");
  EXPECT_EQ(name_of(incoming.next()), "contents two\nlines -");
  EXPECT_EQ(name_of(incoming.next()), "contents - 1");
  EXPECT_EQ(name_of(incoming.next()), "contents - -");
  EXPECT_EQ(name_of(incoming.next()), "line stop");
  EXPECT_EQ(name_of(incoming.next()), "nothing");
  EXPECT_FALSE(incoming.failed());
}

TEST(Incoming, WaitsForAllOfThem) {
  Incoming incoming;
  const ClipboardContents contents{.text = "text", .png = std::vector<std::byte>(3)};
  const std::string bytes = to_bytes(contents);
  for (size_t at = 0; at + 1 < bytes.size(); ++at) {
    incoming.feed(bytes.substr(at, 1));
    EXPECT_EQ(incoming.next(), std::nullopt);
  }
  incoming.feed(bytes.substr(bytes.size() - 1));
  EXPECT_EQ(incoming.next(), Incoming::Item(contents));
}

TEST(Incoming, RefusesWhatIsTooLong) {
  for (const std::string& bytes :
       {std::string(kMostLine + 1, 'x'), std::string("clipboard 33554433 -\n"),
        std::string("clipboard 20000000 20000000\n"), std::string("clipboard x -\n"),
        std::string("clipboard 1\n"), std::string("clipboard - - -\n")}) {
    Incoming incoming;
    incoming.feed(bytes);
    EXPECT_EQ(incoming.next(), std::nullopt);
    EXPECT_TRUE(incoming.failed()) << bytes.substr(0, 40);
  }
}

}  // namespace
}  // namespace alcove::view::window
