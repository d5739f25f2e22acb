#include "view/web/clipboard_message.h"

#include <algorithm>
#include <string_view>

#include "support/utf8.h"

namespace alcove::view::web {

namespace {

constexpr size_t kHead = 4;
constexpr std::string_view kPngSignature = "\x89PNG\r\n\x1a\n";

std::string_view text_of(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::vector<uint8_t> format_clipboard(const ClipboardContents& contents) {
  const std::string_view text = contents.text ? std::string_view(*contents.text) : std::string_view();
  std::vector<uint8_t> message;
  for (int shift = 24; shift >= 0; shift -= 8)
    message.push_back(static_cast<uint8_t>(text.size() >> shift & 0xff));
  message.insert(message.end(), text.begin(), text.end());
  if (contents.png) {
    for (const std::byte byte : *contents.png) message.push_back(std::to_integer<uint8_t>(byte));
  }
  return message;
}

std::optional<ClipboardContents> parse_clipboard(std::span<const uint8_t> message) {
  if (message.size() < kHead) return {};
  size_t length = 0;
  for (const uint8_t byte : message.first(kHead)) length = length << 8 | byte;
  message = message.subspan(kHead);
  if (length > message.size()) return {};
  const std::string_view text = text_of(message.first(length)), picture = text_of(message.subspan(length));
  ClipboardContents contents;
  if (!text.empty()) {
    if (!is_utf8(text)) return {};
    contents.text = text;
  }
  if (!picture.empty()) {
    if (!picture.starts_with(kPngSignature)) return {};
    const auto bytes = std::as_bytes(std::span(picture));
    contents.png.emplace(bytes.begin(), bytes.end());
  }
  if (contents.is_empty()) return {};
  return contents;
}

}  // namespace alcove::view::web
