// Pictures as tests look at them: whether a screen shows what a reference picture does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace alcove::test {

struct Picture {
  size_t width = 0;
  size_t height = 0;
  std::vector<uint8_t> samples;  // red, green, blue of each pixel, row by row
};

// What two pictures that show the same may differ by: smoothed edges, a cursor that blinks, the pointer.
struct Tolerance {
  unsigned channel = 24;          // up to which difference of each channel two pixels count as the same
  unsigned pixels_per_mille = 5;  // of the reference's pixels may be others
};

struct Place {
  size_t x = 0;
  size_t y = 0;
};

// Empty if the file is no PNG.
std::optional<Picture> read_png(const std::string& file);
bool write_png(const Picture& picture, const std::string& file);

// What is there of `picture` from `place` on, at most `width` x `height`.
Picture crop(const Picture& picture, Place place, size_t width, size_t height);

// How many pixels of `reference`, laid on `screen` at `place`, are others; counts no further than `limit`.
size_t differences(const Picture& screen, const Picture& reference, Place place, unsigned channel,
                   size_t limit);

// The first place, from the top and then from the left, where `screen` shows `reference`.
std::optional<Place> find(const Picture& screen, const Picture& reference, Tolerance tolerance);

}  // namespace alcove::test
