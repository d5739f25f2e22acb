// What the display tests' guest draws, as both sides know it.
#pragma once

#include <cstdint>

namespace picture {

inline constexpr uint32_t kCursorExtent = 64;

// 0x00RRGGBB. Another picture for each seed; its upper left quarter inch tells the corners apart.
constexpr uint32_t pixel(uint32_t x, uint32_t y, uint32_t seed) {
  if (x < 24 && y < 24) return 0xff0000;
  return (x & 0xff) << 16 | (y & 0xff) << 8 | ((x / 16 + y / 16 + seed * 5) * 16 & 0xff);
}

// 0xAARRGGBB.
constexpr uint32_t cursor_pixel(uint32_t x, uint32_t y) {
  return x + y < 32 ? 0xff000000 | x * 4 << 16 | y * 4 << 8 | 0x80 : 0;
}

}  // namespace picture
