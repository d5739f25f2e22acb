#include "view/rfb/encoder.h"

#include <algorithm>
#include <bit>
#include <stdexcept>

#include "view/rfb/output.h"
#include "view/rfb/protocol.h"

namespace alcove::view::rfb {

namespace {

constexpr uint32_t kZrleTile = 64;
constexpr uint32_t kTightTile = 256;
constexpr int kFastest = 1;  // Of zlib's levels: whoever looks is near.

void put_header(std::string& out, const DisplayRectangle& part, int32_t encoding) {
  for (const uint32_t number : {part.x, part.y, part.width, part.height})
    put16(out, static_cast<uint16_t>(number));
  put32(out, static_cast<uint32_t>(encoding));
}

// Calls function(tile) for each tile of a part, row by row.
template <class Function>
void for_each_tile(const DisplayRectangle& part, uint32_t extent, Function function) {
  for (uint32_t y = 0; y < part.height; y += extent) {
    for (uint32_t x = 0; x < part.width; x += extent)
      function(DisplayRectangle{part.x + x, part.y + y, std::min(extent, part.width - x),
                                std::min(extent, part.height - y)});
  }
}

}  // namespace

void Deflater::append(std::string& out, std::string_view data) {
  if (!stream_) {
    stream_.reset(new z_stream{});
    if (deflateInit(stream_.get(), kFastest) != Z_OK) throw std::bad_alloc();
  }
  stream_->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream_->avail_in = static_cast<uInt>(data.size());
  do {
    const size_t done = out.size();
    out.resize(done + std::max<size_t>(data.size() / 4, 1024));
    stream_->next_out = reinterpret_cast<Bytef*>(out.data() + done);
    stream_->avail_out = static_cast<uInt>(out.size() - done);
    deflate(stream_.get(), Z_SYNC_FLUSH);
    out.resize(out.size() - stream_->avail_out);
  } while (stream_->avail_out == 0);
}

unsigned Encoder::append(std::string& out, const DisplayFrame& frame, const DisplayRectangle& part,
                         int32_t encoding, const PixelFormat& format) {
  if (encoding == kEncodingTight) {
    unsigned count = 0;
    for_each_tile(part, kTightTile, [&](const DisplayRectangle& tile) {
      load_tile(frame, tile);
      put_header(out, tile, encoding);
      append_tight(out, format);
      ++count;
    });
    return count;
  }
  put_header(out, part, encoding);
  encoding == kEncodingZrle ? append_zrle(out, frame, part, format) : append_raw(out, frame, part, format);
  return 1;
}

void Encoder::append_raw(std::string& out, const DisplayFrame& frame, const DisplayRectangle& part,
                         const PixelFormat& format) {
  for (uint32_t y = part.y; y < part.y + part.height; ++y)
    format.append(out, std::span(frame.pixels).subspan(size_t{y} * frame.size.width + part.x, part.width));
}

void Encoder::load_tile(const DisplayFrame& frame, const DisplayRectangle& tile) {
  width_ = tile.width;
  height_ = tile.height;
  tile_.resize(size_t{width_} * height_);
  for (uint32_t y = 0; y < height_; ++y) {
    const auto row = std::span(frame.pixels).subspan(size_t{tile.y + y} * frame.size.width + tile.x, width_);
    std::ranges::copy(row, tile_.begin() + ptrdiff_t{y} * width_);
  }
}

// Whether the tile has few colours.
bool Encoder::find_palette() {
  palette_.clear();
  uint32_t last = ~tile_[0];
  for (const uint32_t pixel : tile_) {
    if (pixel == last) continue;
    last = pixel;
    if (std::ranges::find(palette_, pixel) != palette_.end()) continue;
    if (palette_.size() == kMostColours) return false;
    palette_.push_back(pixel);
  }
  return true;
}

size_t Encoder::index_of(uint32_t pixel) const {
  return static_cast<size_t>(std::ranges::find(palette_, pixel) - palette_.begin());
}

// Section 7.7.6.
void Encoder::append_zrle(std::string& out, const DisplayFrame& frame, const DisplayRectangle& part,
                          const PixelFormat& format) {
  data_.clear();
  for_each_tile(part, kZrleTile, [&](const DisplayRectangle& tile) {
    load_tile(frame, tile);
    if (!find_palette()) {
      put8(data_, 0);  // Raw.
      for (const uint32_t pixel : tile_) format.append_compact(data_, pixel);
      return;
    }
    put8(data_, static_cast<uint8_t>(palette_.size()));
    for (const uint32_t colour : palette_) format.append_compact(data_, colour);
    if (palette_.size() == 1) return;
    const unsigned bits = palette_.size() == 2 ? 1 : palette_.size() <= 4 ? 2 : 4;
    for (uint32_t y = 0; y < height_; ++y) {
      unsigned packed = 0, used = 0;
      for (uint32_t x = 0; x < width_; ++x) {
        packed = packed << bits | static_cast<unsigned>(index_of(tile_[size_t{y} * width_ + x]));
        used += bits;
        if (used < 8) continue;
        put8(data_, static_cast<uint8_t>(packed));
        packed = used = 0;
      }
      if (used != 0) put8(data_, static_cast<uint8_t>(packed << (8 - used)));
    }
  });
  const size_t length_at = out.size();
  put32(out, 0);
  zrle_.append(out, data_);
  std::string length;
  put32(length, static_cast<uint32_t>(out.size() - length_at - 4));
  out.replace(length_at, 4, length);
}

void Encoder::append_tight(std::string& out, const PixelFormat& format) {
  constexpr uint8_t kFill = 0x80, kExplicitFilter = 0x40, kPaletteFilter = 1;
  constexpr unsigned kFullColourStream = 0, kPaletteStream = 1;
  data_.clear();
  if (!find_palette()) {
    put8(out, kFullColourStream << 4);
    for (const uint32_t pixel : tile_) format.append_tight(data_, pixel);
    return append_tight_data(out, kFullColourStream);
  }
  if (palette_.size() == 1) {
    put8(out, kFill);
    return format.append_tight(out, palette_[0]);
  }
  put8(out, kExplicitFilter | kPaletteStream << 4);
  put8(out, kPaletteFilter);
  put8(out, static_cast<uint8_t>(palette_.size() - 1));
  for (const uint32_t colour : palette_) format.append_tight(out, colour);
  for (uint32_t y = 0; y < height_; ++y) {
    const auto row = std::span(tile_).subspan(size_t{y} * width_, width_);
    if (palette_.size() > 2) {
      for (const uint32_t pixel : row) put8(data_, static_cast<uint8_t>(index_of(pixel)));
      continue;
    }
    for (size_t x = 0; x < row.size(); x += 8) {
      uint8_t packed = 0;
      for (size_t bit = 0; bit < 8 && x + bit < row.size(); ++bit)
        packed |= static_cast<uint8_t>((row[x + bit] == palette_[1]) << (7 - bit));
      put8(data_, packed);
    }
  }
  append_tight_data(out, kPaletteStream);
}

// Less than twelve bytes go as they are; before others stands their length, seven bits a byte.
void Encoder::append_tight_data(std::string& out, unsigned stream) {
  constexpr size_t kLeastCompressed = 12;
  if (data_.size() < kLeastCompressed) {
    out += data_;
    return;
  }
  std::string compressed;
  tight_[stream].append(compressed, data_);
  const size_t size = compressed.size();  // Less than 2^22: a tile is small.
  put8(out, static_cast<uint8_t>((size & 0x7f) | (size > 0x7f ? 0x80 : 0)));
  if (size > 0x7f) put8(out, static_cast<uint8_t>((size >> 7 & 0x7f) | (size > 0x3fff ? 0x80 : 0)));
  if (size > 0x3fff) put8(out, static_cast<uint8_t>(size >> 14));
  out += compressed;
}

}  // namespace alcove::view::rfb
