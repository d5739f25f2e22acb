#include "view/rfb/cut_text.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <utility>

#include "support/line_ends.h"
#include "view/rfb/input.h"
#include "view/rfb/output.h"
#include "view/rfb/protocol.h"

namespace alcove::view::rfb {

namespace {

// The registry's "Extended Clipboard Pseudo-Encoding".
constexpr uint32_t kText = 1;  // A form's bit.
constexpr uint32_t kCapabilities = 1 << 24, kRequest = 1 << 25, kPeek = 1 << 26, kNotify = 1 << 27,
                   kProvide = 1 << 28;

std::string utf8_from_latin1(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : bytes) {
    if (byte < 0x80) {
      text += static_cast<char>(byte);
    } else {
      text += static_cast<char>(0xc0 | byte >> 6);
      text += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return text;
}

// What Latin-1 has not becomes a question mark.
std::string latin1_from_utf8(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<uint8_t>(text[at]);
    if (byte < 0x80) {
      out += text[at];
    } else if ((byte == 0xc2 || byte == 0xc3) && at + 1 < text.size()) {
      out += static_cast<char>((byte & 3) << 6 | (static_cast<uint8_t>(text[++at]) & 0x3f));
    } else if (byte >= 0xc0) {
      out += '?';  // Once for its first byte; the others are skipped.
    }
  }
  return out;
}

std::optional<std::string> inflate_all(std::span<const uint8_t> bytes, size_t most) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) return {};
  stream.next_in = const_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  std::array<char, 65536> piece;
  int result = Z_OK;
  do {
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = piece.size();
    result = inflate(&stream, Z_SYNC_FLUSH);
    out.append(piece.data(), piece.size() - stream.avail_out);
  } while (result == Z_OK && stream.avail_out == 0 && out.size() <= most);
  inflateEnd(&stream);
  const bool is_whole =
      (result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR) && out.size() <= most;
  return is_whole ? std::optional(std::move(out)) : std::nullopt;
}

std::string deflate_all(std::string_view data) {
  uLongf size = compressBound(static_cast<uLong>(data.size()));
  std::string out(size, '\0');
  compress2(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(data.data()),
            static_cast<uLong>(data.size()), Z_BEST_SPEED);
  out.resize(size);
  return out;
}

void put_message(std::string& out, uint32_t flags, std::string_view data = {}) {
  put32(out, uint32_t{kServerCutText} << 24);
  put32(out, static_cast<uint32_t>(-static_cast<int32_t>(4 + data.size())));
  put32(out, flags);
  out += data;
}

}  // namespace

void CutText::extend() {
  if (!std::exchange(extended_, true)) capabilities_due_ = true;
}

void CutText::set_guest_text(std::string text) {
  guest_text_ = std::move(text);
  notification_due_ = true;
}

std::optional<std::string> CutText::take_plain(std::span<const uint8_t> body) const {
  return with_line_feeds(utf8_from_latin1(body));
}

std::optional<std::string> CutText::take_extended(std::span<const uint8_t> body, bool& broken) {
  broken = body.size() < 4;
  if (broken) return {};
  const uint32_t flags = get32(body, 0);
  if (flags & kRequest) contents_due_ |= (flags & kText) != 0;
  if (flags & kPeek) notification_due_ |= !guest_text_.empty();
  if (flags & kNotify) request_due_ |= (flags & kText) != 0;
  if ((flags & (kProvide | kCapabilities)) != kProvide || !(flags & kText)) return {};
  const auto contents = inflate_all(body.subspan(4), kMostText + 4);
  broken = !contents || contents->size() < 4;
  if (broken) return {};
  const size_t size = get32(std::span(reinterpret_cast<const uint8_t*>(contents->data()), 4), 0);
  broken = size > contents->size() - 4;
  if (broken) return {};
  std::string_view text = std::string_view(*contents).substr(4, size);
  text = text.substr(0, text.find('\0'));
  return with_line_feeds(text);
}

void CutText::append_output(std::string& out) {
  if (std::exchange(capabilities_due_, false)) {
    std::string sizes;
    put32(sizes, 0);  // No text comes unasked.
    put_message(out, kCapabilities | kText | kRequest | kPeek | kNotify | kProvide, sizes);
  }
  if (std::exchange(request_due_, false)) put_message(out, kRequest | kText);
  if (std::exchange(contents_due_, false)) {
    // The protocol's lines end with both, and its texts with a zero byte.
    const std::string text = with_returns(guest_text_.substr(0, kMostText)) + '\0';
    std::string data;
    put32(data, static_cast<uint32_t>(text.size()));
    put_message(out, kProvide | kText, deflate_all(data + text));
  }
  if (!std::exchange(notification_due_, false)) return;
  if (extended_) return put_message(out, kNotify | (guest_text_.empty() ? 0 : kText));
  const std::string text = latin1_from_utf8(guest_text_).substr(0, kMostMessage);
  put32(out, uint32_t{kServerCutText} << 24);
  put32(out, static_cast<uint32_t>(text.size()));
  out += text;
}

}  // namespace alcove::view::rfb
