#include "view/web/clipboard_message.h"

#include <gtest/gtest.h>

#include <string>

namespace alcove::view::web {
namespace {

std::vector<uint8_t> message(std::string_view text) {
  return {text.begin(), text.end()};
}

TEST(ClipboardMessage, HasTextAndPicture) {
  const std::string png = "\x89PNG\r\n\x1a\nrest";
  ClipboardContents contents{.text = "gr\xc3\xbc\xc3\x9f"};
  EXPECT_EQ(format_clipboard(contents), message(std::string("\0\0\0\6gr\xc3\xbc\xc3\x9f", 10)));
  EXPECT_EQ(parse_clipboard(format_clipboard(contents)), contents);
  const auto bytes = std::as_bytes(std::span(png));
  contents.png.emplace(bytes.begin(), bytes.end());
  EXPECT_EQ(format_clipboard(contents), message(std::string("\0\0\0\6gr\xc3\xbc\xc3\x9f", 10) + png));
  EXPECT_EQ(parse_clipboard(format_clipboard(contents)), contents);
  contents.text.reset();
  EXPECT_EQ(parse_clipboard(format_clipboard(contents)), contents);
}

TEST(ClipboardMessage, IsNothingElse) {
  for (const std::string_view wrong :
       {std::string_view(), std::string_view("\0\0\0", 3), std::string_view("\0\0\0\0", 4),
        std::string_view("\0\0\0\2x", 5), std::string_view("\xff\xff\xff\xffx", 5),
        std::string_view("\0\0\0\1\xff", 5), std::string_view("\0\0\0\1xGIF89a", 11)})
    EXPECT_FALSE(parse_clipboard(message(wrong))) << wrong;
}

}  // namespace
}  // namespace alcove::view::web
