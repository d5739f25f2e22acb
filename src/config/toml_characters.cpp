#include "config/toml_characters.h"

#include <fmt/format.h>

#include <algorithm>

namespace alcove::config {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// Follows the text through its strings (TOML 1.0, "String") and comments, as far as it is well formed: where
// it is not, the parser stops, and what comes after does not matter.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  // The line of the first character in the wrong place, or 0.
  size_t find() {
    while (at_ < text_.size()) {
      const char character = text_[at_];
      if (character == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (character == '"' || character == '\'') {
        if (!skip_string(character)) return line();
      } else if (is_foreign(character)) {
        return line();
      } else {
        ++at_;
      }
    }
    return 0;
  }

 private:
  static bool is_foreign(char character) { return static_cast<unsigned char>(character) >= 0x80; }
  static bool is_space(char character) {
    return character == ' ' || character == '\t' || character == '\n' || character == '\r';
  }
  size_t line() const { return 1 + static_cast<size_t>(std::ranges::count(text_.substr(0, at_), '\n')); }

  bool skip_string(char quote) {
    const std::string_view rest = text_.substr(at_);
    const bool is_long = rest.size() >= 3 && rest[1] == quote && rest[2] == quote;
    at_ += is_long ? 3 : 1;
    while (at_ < text_.size()) {
      const char character = text_[at_];
      if (character == '\\' && quote == '"') {
        if (!skip_escape()) return false;
      } else if (character == '\n' && !is_long) {
        return true;
      } else if (character == quote && ends(quote, is_long)) {
        return true;
      } else {
        ++at_;
      }
    }
    return true;
  }

  // A backslash and the character after it, or all white space, which ends before the next visible character.
  bool skip_escape() {
    ++at_;
    if (at_ == text_.size()) return true;
    if (!is_space(text_[at_])) {
      if (is_foreign(text_[at_])) return false;
      ++at_;
      return true;
    }
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
    return at_ == text_.size() || !is_foreign(text_[at_]);
  }

  // At a quote: goes past it and, if it ends a long string, past those that end it and up to two that belong
  // to it.
  bool ends(char quote, bool is_long) {
    size_t count = 0;
    while (count < 5 && at_ + count < text_.size() && text_[at_ + count] == quote) ++count;
    if (!is_long) count = 1;
    at_ += count;
    return !is_long || count >= 3;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

Result<> check_characters(std::string_view toml) {
  if (toml.starts_with(kByteOrderMark)) toml.remove_prefix(kByteOrderMark.size());
  const size_t line = Scanner(toml).find();
  if (line == 0) return {};
  return fail(ErrorCode::invalid_virtual_machine_configuration, fmt::format("line {}", line),
              "has a character outside ASCII where none can be", "put texts into quotes");
}

}  // namespace alcove::config
