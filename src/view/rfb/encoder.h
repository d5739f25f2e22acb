// Turns a part of a frame into an encoded rectangle's contents (RFC 6143, section 7.7; Tight as in the
// registry).
#pragma once

#include <alcove/graphics.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "view/rfb/deflater.h"
#include "view/rfb/pixel_format.h"

namespace alcove::view::rfb {

// Of one connection.
class Encoder {
 public:
  // Appends rectangles, headers included, that cover `part` of the frame; gives how many. `encoding` is Raw,
  // ZRLE or Tight.
  unsigned append(std::string& out, const DisplayFrame& frame, const DisplayRectangle& part, int32_t encoding,
                  const PixelFormat& format);

 private:
  void append_raw(std::string& out, const DisplayFrame& frame, const DisplayRectangle& part,
                  const PixelFormat& format);
  void append_zrle(std::string& out, const DisplayFrame& frame, const DisplayRectangle& part,
                   const PixelFormat& format);
  void append_tight(std::string& out, const PixelFormat& format);
  void append_tight_data(std::string& out, unsigned stream);
  void load_tile(const DisplayFrame& frame, const DisplayRectangle& tile);
  bool find_palette();
  size_t index_of(uint32_t pixel) const;

  static constexpr size_t kMostColours = 16;
  Deflater zrle_;
  std::array<Deflater, 2> tight_;  // Full colour, and palettes.

  // The tile under way.
  uint32_t width_ = 0, height_ = 0;
  std::vector<uint32_t> tile_;
  std::vector<uint32_t> palette_;
  std::string data_;
};

}  // namespace alcove::view::rfb
