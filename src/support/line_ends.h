// Texts of clipboards, whose protocols end lines with "\r\n" where we have "\n".
#pragma once

#include <string>
#include <string_view>

namespace alcove {

inline std::string with_line_feeds(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '\r' || at + 1 == text.size() || text[at + 1] != '\n') out += text[at];
  }
  return out;
}

inline std::string with_returns(std::string_view text) {
  std::string out;
  for (const char character : text) {
    if (character == '\n') out += '\r';
    out += character;
  }
  return out;
}

}  // namespace alcove
