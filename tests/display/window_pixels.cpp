// How many pixels of an X server's screen are others than the guest draws. usage: window_pixels SCREEN WIDTH
// HEIGHT, SCREEN as Xvfb -fbdir keeps it (X's window dump format); what is at its upper left is compared.
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "picture.h"

int main(int argument_count, char** arguments) {
  if (argument_count != 4) return std::cerr << "usage: window_pixels SCREEN WIDTH HEIGHT\n", 2;
  std::ifstream file(arguments[1], std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  const auto width = static_cast<uint32_t>(std::stoul(arguments[2]));
  const auto height = static_cast<uint32_t>(std::stoul(arguments[3]));
  const auto byte = [&](size_t at) -> uint32_t {
    return at < bytes.size() ? static_cast<uint8_t>(bytes[at]) : 0;
  };
  // The header's fields: 32 bits each, the most significant byte first (XWDFile.h).
  const auto field = [&](size_t index) {
    return byte(index * 4) << 24 | byte(index * 4 + 1) << 16 | byte(index * 4 + 2) << 8 | byte(index * 4 + 3);
  };
  constexpr size_t kHeaderSize = 0, kBitsPerPixel = 11, kBytesPerLine = 12, kColours = 19, kColourSize = 12;
  if (field(kBitsPerPixel) != 32) return std::cerr << "the screen's format is not known\n", 1;
  const size_t begin = field(kHeaderSize) + field(kColours) * kColourSize;
  size_t wrong = 0;
  for (uint32_t y = 0; y < height; ++y) {
    for (uint32_t x = 0; x < width; ++x) {
      const size_t at = begin + size_t{y} * field(kBytesPerLine) + size_t{x} * 4;
      if ((byte(at + 2) << 16 | byte(at + 1) << 8 | byte(at)) != picture::pixel(x, y, 0)) ++wrong;
    }
  }
  std::cout << wrong << '\n';
}
