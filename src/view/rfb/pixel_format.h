// How a client wants its pixels (RFC 6143, section 7.4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace alcove::view::rfb {

class PixelFormat {
 public:
  static constexpr size_t kWireSize = 16;

  PixelFormat() = default;  // 32 bits, little-endian 0x00RRGGBB: as ours.
  // Nothing if it is no format that there may be, or one with a colour map.
  static std::optional<PixelFormat> parse(std::span<const uint8_t, kWireSize> wire);
  void put(std::string& out) const;

  // Pixels are 0x00RRGGBB.
  void append(std::string& out, std::span<const uint32_t> pixels) const;
  // Without the byte that 32-bit pixels of depth 24 don't use: CPIXEL of ZRLE (section 7.7.5).
  void append_compact(std::string& out, uint32_t pixel) const;
  // TPIXEL of Tight: such pixels are red, green, blue.
  void append_tight(std::string& out, uint32_t pixel) const;

 private:
  bool is_ours() const;
  bool has_tight_pixels() const;
  uint32_t convert(uint32_t pixel) const;
  void append_value(std::string& out, uint32_t value) const;

  uint8_t bits_ = 32;
  uint8_t depth_ = 24;
  bool big_endian_ = false;
  uint16_t red_max_ = 255, green_max_ = 255, blue_max_ = 255;
  uint8_t red_shift_ = 16, green_shift_ = 8, blue_shift_ = 0;
};

}  // namespace alcove::view::rfb
