#include "devices/gpu/edid.h"

#include <algorithm>
#include <numeric>
#include <span>
#include <string_view>

namespace alcove::devices::gpu {

namespace {

// Section 3.4: three letters, five bits each.
constexpr uint16_t manufacturer(std::string_view letters) {
  uint16_t id = 0;
  for (const char letter : letters) id = static_cast<uint16_t>(id << 5 | (letter - 'A' + 1));
  return id;
}

uint32_t millimetres(uint32_t pixels, uint32_t pixels_per_inch) {
  return (pixels * 254 / pixels_per_inch + 5) / 10;
}

// Section 3.10.2. Blanking as CVT has it with reduced blanking; 60 Hz, or what the pixel clock's field holds.
void put_timing(std::span<uint8_t> out, const Mode& mode) {
  constexpr uint32_t kHorizontalBlank = 160, kHorizontalFront = 48, kHorizontalSync = 32;
  constexpr uint32_t kVerticalFront = 3, kVerticalSync = 6;
  const uint32_t vertical_blank = std::max(30u, mode.height / 32);
  const uint64_t pixels = uint64_t{mode.width + kHorizontalBlank} * (mode.height + vertical_blank);
  const auto clock = static_cast<uint16_t>(std::min<uint64_t>(pixels * 60 / 10000, 0xffff));  // 10 kHz
  const uint32_t width_mm = std::min(millimetres(mode.width, mode.pixels_per_inch), kMaximumEdidExtent);
  const uint32_t height_mm = std::min(millimetres(mode.height, mode.pixels_per_inch), kMaximumEdidExtent);
  const auto byte = [](uint32_t value) { return static_cast<uint8_t>(value); };
  const auto high_nibbles = [&](uint32_t high, uint32_t low) { return byte((high >> 8) << 4 | low >> 8); };
  out[0] = byte(clock);
  out[1] = byte(clock >> 8);
  out[2] = byte(mode.width);
  out[3] = byte(kHorizontalBlank);
  out[4] = high_nibbles(mode.width, kHorizontalBlank);
  out[5] = byte(mode.height);
  out[6] = byte(vertical_blank);
  out[7] = high_nibbles(mode.height, vertical_blank);
  out[8] = byte(kHorizontalFront);
  out[9] = byte(kHorizontalSync);
  out[10] = byte(kVerticalFront << 4 | kVerticalSync);
  out[12] = byte(width_mm);
  out[13] = byte(height_mm);
  out[14] = high_nibbles(width_mm, height_mm);
  out[17] = 0x1e;  // Separate digital syncs, both positive.
}

// Section 3.10.3: a display descriptor with 13 bytes of text.
void put_text(std::span<uint8_t> out, uint8_t tag, std::string_view text) {
  out[3] = tag;
  std::ranges::fill(out.subspan(5, 13), uint8_t{' '});
  std::ranges::copy(text, out.begin() + 5);
  out[5 + text.size()] = '\n';
}

}  // namespace

Edid make_edid(const Mode& mode, uint32_t serial) {
  Edid edid{};
  std::fill_n(edid.begin() + 1, 6, uint8_t{0xff});  // Section 3.3, header.
  constexpr uint16_t kManufacturer = manufacturer("ALC");
  edid[8] = kManufacturer >> 8;
  edid[9] = kManufacturer & 0xff;
  edid[10] = 1;  // Product code.
  edid[12] = static_cast<uint8_t>(serial);
  edid[17] = 2026 - 1990;
  edid[18] = 1;  // EDID 1.4.
  edid[19] = 4;
  edid[20] = 0xa5;  // Section 3.6.1: digital, 8 bits a colour, DisplayPort.
  const auto centimetres = [&](uint32_t pixels) {
    return static_cast<uint8_t>(std::clamp((millimetres(pixels, mode.pixels_per_inch) + 5) / 10, 1u, 255u));
  };
  edid[21] = centimetres(mode.width);
  edid[22] = centimetres(mode.height);
  edid[23] = 120;   // Gamma 2.2.
  edid[24] = 0x06;  // sRGB; the first timing is native.
  // Section 3.7: the primaries and the white point of sRGB.
  constexpr std::array<uint8_t, 10> kChromaticity = {0xee, 0x91, 0xa3, 0x54, 0x4c,
                                                     0x99, 0x26, 0x0f, 0x50, 0x54};
  std::ranges::copy(kChromaticity, edid.begin() + 25);
  std::fill_n(edid.begin() + 38, 16, uint8_t{1});  // Section 3.9: no standard timings.
  const std::span<uint8_t> all(edid);
  put_timing(all.subspan(54, 18), mode);
  put_text(all.subspan(72, 18), 0xfc, "Alcove");
  // Section 3.10.3.11: dummies.
  edid[90 + 3] = 0x10;
  edid[108 + 3] = 0x10;
  edid[127] = static_cast<uint8_t>(0x100 - std::accumulate(edid.begin(), edid.end() - 1, 0u) % 0x100);
  return edid;
}

}  // namespace alcove::devices::gpu
