#include "config/toml_ascii.h"

#include <fmt/format.h>

#include <algorithm>

#include "support/utf8.h"

namespace alcove::config {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr char kMark = '~';

std::unexpected<Error> refused(std::string what, std::string hint) {
  return fail(ErrorCode::invalid_virtual_machine_configuration, "", std::move(what), std::move(hint));
}

// Of the digits that to_ascii() writes; 16 for another character.
unsigned digit(char character) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  return static_cast<unsigned>(std::min(kDigits.find(character), kDigits.size()));
}

}  // namespace

Result<std::string> to_ascii(std::string_view toml) {
  if (!is_utf8(toml)) return refused("is not a text in UTF-8", "");
  for (std::string_view escape : {"\\u007e", "\\u007E", "\\U0000007e", "\\U0000007E"}) {
    if (toml.find(escape) != std::string_view::npos) {
      return refused(fmt::format("has the escape sequence {}", escape), "write ~");
    }
  }
  if (toml.starts_with(kByteOrderMark)) toml.remove_prefix(kByteOrderMark.size());
  std::string ascii;
  for (char character : toml) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte >= 0x80 || character == kMark) {
      ascii += fmt::format("{}{:02x}", kMark, byte);
    } else {
      ascii += character;
    }
  }
  return ascii;
}

std::string from_ascii(std::string_view text) {
  std::string original;
  for (size_t at = 0; at < text.size(); ++at) {
    const bool is_mark = text[at] == kMark && at + 2 < text.size();
    const unsigned byte = is_mark ? digit(text[at + 1]) << 4 | digit(text[at + 2]) : 0;
    if (is_mark && digit(text[at + 1]) < 16 && digit(text[at + 2]) < 16) {
      original += static_cast<char>(byte);
      at += 2;
    } else {
      original += text[at];
    }
  }
  return original;
}

}  // namespace alcove::config
