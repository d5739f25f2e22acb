#include "view/rfb/pixel_format.h"

#include <bit>

#include "view/rfb/output.h"

namespace alcove::view::rfb {

std::optional<PixelFormat> PixelFormat::parse(std::span<const uint8_t, kWireSize> wire) {
  PixelFormat format;
  format.bits_ = wire[0];
  format.depth_ = wire[1];
  format.big_endian_ = wire[2] != 0;
  const bool true_colour = wire[3] != 0;
  const auto number = [&](size_t at) { return static_cast<uint16_t>(wire[at] << 8 | wire[at + 1]); };
  format.red_max_ = number(4);
  format.green_max_ = number(6);
  format.blue_max_ = number(8);
  format.red_shift_ = wire[10];
  format.green_shift_ = wire[11];
  format.blue_shift_ = wire[12];
  if (!true_colour || (format.bits_ != 8 && format.bits_ != 16 && format.bits_ != 32)) return std::nullopt;
  const auto fits = [&](uint16_t max, uint8_t shift) {
    // A colour without bits has a place, too.
    return std::has_single_bit(max + 1u) && shift < format.bits_ &&
           shift + std::bit_width(max) <= format.bits_;
  };
  if (!fits(format.red_max_, format.red_shift_) || !fits(format.green_max_, format.green_shift_) ||
      !fits(format.blue_max_, format.blue_shift_))
    return std::nullopt;
  return format;
}

void PixelFormat::put(std::string& out) const {
  put8(out, bits_);
  put8(out, depth_);
  put8(out, big_endian_);
  put8(out, 1);  // True colour.
  put16(out, red_max_);
  put16(out, green_max_);
  put16(out, blue_max_);
  put8(out, red_shift_);
  put8(out, green_shift_);
  put8(out, blue_shift_);
  out.append(3, '\0');
}

bool PixelFormat::has_tight_pixels() const {
  return bits_ == 32 && depth_ == 24 && red_max_ == 255 && green_max_ == 255 && blue_max_ == 255;
}

bool PixelFormat::is_ours() const {
  return has_tight_pixels() && !big_endian_ && red_shift_ == 16 && green_shift_ == 8 && blue_shift_ == 0;
}

uint32_t PixelFormat::convert(uint32_t pixel) const {
  const auto scale = [](uint32_t component, uint32_t max) { return (component & 0xff) * max / 255; };
  return scale(pixel >> 16, red_max_) << red_shift_ | scale(pixel >> 8, green_max_) << green_shift_ |
         scale(pixel, blue_max_) << blue_shift_;
}

void PixelFormat::append_value(std::string& out, uint32_t value) const {
  for (unsigned bit = 0; bit < bits_; bit += 8)
    out += static_cast<char>(value >> (big_endian_ ? bits_ - 8 - bit : bit));
}

void PixelFormat::append(std::string& out, std::span<const uint32_t> pixels) const {
  if (is_ours()) {
    out.append(reinterpret_cast<const char*>(pixels.data()), pixels.size_bytes());
    return;
  }
  for (const uint32_t pixel : pixels) append_value(out, convert(pixel));
}

void PixelFormat::append_compact(std::string& out, uint32_t pixel) const {
  const uint32_t value = convert(pixel);
  const auto used = [](uint32_t max, uint8_t shift) { return max << shift; };
  const uint32_t mask =
      used(red_max_, red_shift_) | used(green_max_, green_shift_) | used(blue_max_, blue_shift_);
  const bool in_low = (mask & 0xff000000) == 0, in_high = (mask & 0xff) == 0;
  if (bits_ != 32 || depth_ > 24 || (!in_low && !in_high)) return append_value(out, value);
  const uint32_t three = in_low ? value : value >> 8;
  for (unsigned bit = 0; bit < 24; bit += 8)
    out += static_cast<char>(three >> (big_endian_ ? 16 - bit : bit));
}

void PixelFormat::append_tight(std::string& out, uint32_t pixel) const {
  if (!has_tight_pixels()) return append_value(out, convert(pixel));
  for (const unsigned shift : {16, 8, 0}) out += static_cast<char>(pixel >> shift);
}

}  // namespace alcove::view::rfb
