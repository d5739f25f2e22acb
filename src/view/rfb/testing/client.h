// The client's side of the protocol, for tests: decodes what a session sends.
#pragma once

#include <alcove/graphics.h>
#include <zlib.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "view/rfb/output.h"
#include "view/rfb/protocol.h"

namespace alcove::view::rfb::testing {

// Reads numbers; throws where there are too few bytes.
class Input {
 public:
  explicit Input(std::string_view bytes) : bytes_(bytes) {}
  uint8_t get8() { return static_cast<uint8_t>(take(1)[0]); }
  uint16_t get16() { return static_cast<uint16_t>(get8() << 8 | get8()); }
  uint32_t get32() { return uint32_t{get16()} << 16 | get16(); }
  std::string_view take(size_t size) {
    if (bytes_.size() < size) throw std::runtime_error("too few bytes");
    const auto taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }
  bool is_empty() const { return bytes_.empty(); }

 private:
  std::string_view bytes_;
};

class Inflater {
 public:
  Inflater() { inflateInit(&stream_); }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  std::string inflate_all(std::string_view in) {
    std::string out(1 << 22, '\0');
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    const int result = inflate(&stream_, Z_SYNC_FLUSH);
    if ((result != Z_OK && result != Z_BUF_ERROR) || stream_.avail_in != 0)
      throw std::runtime_error("not zlib's");
    out.resize(out.size() - stream_.avail_out);
    return out;
  }

 private:
  z_stream stream_{};
};

// A client that asks for our own pixel format.
class Client {
 public:
  DisplayFrame frame;
  struct Pseudo {
    uint16_t x, y;
    DisplaySize size;
    std::string data;
  };
  std::map<int32_t, std::vector<Pseudo>> pseudo;  // By encoding.
  std::map<int32_t, unsigned> rectangles;         // How many, by encoding.

  // Takes whole updates.
  void take(std::string_view bytes) {
    Input in(bytes);
    while (!in.is_empty()) {
      if (in.get8() != kFramebufferUpdate) throw std::runtime_error("another message");
      in.get8();
      for (uint16_t left = in.get16(); left > 0; --left) take_rectangle(in);
    }
  }

 private:
  void take_rectangle(Input& in) {
    const uint16_t x = in.get16(), y = in.get16();
    const DisplaySize size{in.get16(), in.get16()};
    const auto encoding = static_cast<int32_t>(in.get32());
    const DisplayRectangle part{x, y, size.width, size.height};
    ++rectangles[encoding];
    switch (encoding) {
      case kEncodingRaw:
        for_each(part, [&](uint32_t& pixel) { pixel = raw_pixel(in); });
        break;
      case kEncodingZrle:
        take_zrle(in, part);
        break;
      case kEncodingTight:
        take_tight(in, part);
        break;
      case kEncodingExtendedDesktopSize: {
        Pseudo one{x, y, size, {}};
        const std::string_view head = in.take(4);
        one.data = in.take(size_t{16} * static_cast<uint8_t>(head[0]));
        pseudo[encoding].push_back(one);
        resize(size);
        break;
      }
      case kEncodingDesktopSize:
        resize(size);
        break;
      case kEncodingCursor:
        pseudo[encoding].push_back(
            {x, y, size,
             std::string(in.take(size_t{size.height} * (size.width * 4 + (size.width + 7) / 8)))});
        break;
      case kEncodingCursorWithAlpha:
        in.get32();
        pseudo[encoding].push_back({x, y, size, std::string(in.take(size_t{size.height} * size.width * 4))});
        break;
      case kEncodingQemuExtendedKey:
        break;
      default:
        throw std::runtime_error("another encoding");
    }
  }

  void resize(DisplaySize size) {
    if (size == frame.size) return;
    frame.size = size;
    frame.pixels.assign(size_t{size.width} * size.height, 0xdead);
  }
  template <class Function>
  void for_each(const DisplayRectangle& part, Function function) {
    for (uint32_t y = part.y; y < part.y + part.height; ++y) {
      for (uint32_t x = part.x; x < part.x + part.width; ++x)
        function(frame.pixels.at(size_t{y} * frame.size.width + x));
    }
  }
  static uint32_t raw_pixel(Input& in) {
    uint32_t pixel = 0;
    std::memcpy(&pixel, in.take(4).data(), 4);
    return pixel;
  }
  static uint32_t compact_pixel(Input& in) {
    const uint32_t blue = in.get8(), green = in.get8(), red = in.get8();
    return red << 16 | green << 8 | blue;
  }
  static uint32_t tight_pixel(Input& in) {
    const uint32_t red = in.get8(), green = in.get8(), blue = in.get8();
    return red << 16 | green << 8 | blue;
  }

  void take_zrle(Input& in, const DisplayRectangle& part) {
    const std::string data = zrle_.inflate_all(in.take(in.get32()));
    Input tiles(data);
    for (uint32_t y = 0; y < part.height; y += 64) {
      for (uint32_t x = 0; x < part.width; x += 64)
        take_zrle_tile(
            tiles, {part.x + x, part.y + y, std::min(64u, part.width - x), std::min(64u, part.height - y)});
    }
    if (!tiles.is_empty()) throw std::runtime_error("more than the tiles");
  }
  void take_zrle_tile(Input& in, const DisplayRectangle& tile) {
    const uint8_t kind = in.get8();
    if (kind == 0) return for_each(tile, [&](uint32_t& pixel) { pixel = compact_pixel(in); });
    if (kind > 16) throw std::runtime_error("a kind of tile that we don't make");
    std::vector<uint32_t> palette;
    for (unsigned i = 0; i < kind; ++i) palette.push_back(compact_pixel(in));
    if (kind == 1) return for_each(tile, [&](uint32_t& pixel) { pixel = palette[0]; });
    const unsigned bits = kind == 2 ? 1 : kind <= 4 ? 2 : 4;
    for (uint32_t y = 0; y < tile.height; ++y) {
      unsigned left = 0, byte = 0;
      for_each({tile.x, tile.y + y, tile.width, 1}, [&](uint32_t& pixel) {
        if (left == 0) {
          byte = in.get8();
          left = 8;
        }
        left -= bits;
        pixel = palette.at(byte >> left & ((1u << bits) - 1));
      });
    }
  }

  void take_tight(Input& in, const DisplayRectangle& part) {
    const uint8_t control = in.get8();
    if (control == 0x80) {
      const uint32_t colour = tight_pixel(in);
      return for_each(part, [&](uint32_t& pixel) { pixel = colour; });
    }
    const unsigned stream = control >> 4 & 3;
    if ((control & 0x8f) != 0) throw std::runtime_error("a kind of rectangle that we don't make");
    std::vector<uint32_t> palette;
    if (control & 0x40) {
      if (in.get8() != 1) throw std::runtime_error("a filter that we don't use");
      palette.resize(in.get8() + 1u);
      for (uint32_t& colour : palette) colour = tight_pixel(in);
    }
    const size_t row = palette.empty()       ? part.width * 3
                       : palette.size() == 2 ? (part.width + 7) / 8
                                             : part.width;
    const std::string data = tight_data(in, row * part.height, stream);
    if (data.size() != row * part.height) throw std::runtime_error("another size");
    for (uint32_t y = 0; y < part.height; ++y) {
      Input pixels(std::string_view(data).substr(y * row, row));
      uint32_t x = 0, byte = 0;
      for_each({part.x, part.y + y, part.width, 1}, [&](uint32_t& pixel) {
        if (palette.empty()) {
          pixel = tight_pixel(pixels);
        } else if (palette.size() > 2) {
          pixel = palette.at(pixels.get8());
        } else {
          if (x % 8 == 0) byte = pixels.get8();
          pixel = palette[byte >> (7 - x % 8) & 1];
        }
        ++x;
      });
    }
  }
  std::string tight_data(Input& in, size_t size, unsigned stream) {
    if (size < 12) return std::string(in.take(size));
    size_t length = 0;
    for (unsigned shift = 0;; shift += 7) {
      const uint8_t byte = in.get8();
      length |= size_t{byte & (shift == 14 ? 0xffu : 0x7fu)} << shift;
      if (shift == 14 || (byte & 0x80) == 0) break;
    }
    return tight_.at(stream).inflate_all(in.take(length));
  }

  Inflater zrle_;
  std::array<Inflater, 4> tight_;
};

}  // namespace alcove::view::rfb::testing
