// What the page and the view tell each other of their clipboards, each in one WebSocket message: the length
// of the text in bytes (32 bits, big-endian), the text, and a PNG picture. Either may be empty, but not both.
#pragma once

#include <alcove/clipboard.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace alcove::view::web {

std::vector<uint8_t> format_clipboard(const ClipboardContents& contents);

// Nothing, where the message is none, or the text not UTF-8, or the picture not PNG.
std::optional<ClipboardContents> parse_clipboard(std::span<const uint8_t> message);

}  // namespace alcove::view::web
