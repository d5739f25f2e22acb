#include "picture.h"

#include <png.h>

#include <algorithm>
#include <cstdlib>

namespace alcove::test {

namespace {
constexpr size_t kChannels = 3;
}

std::optional<Picture> read_png(const std::string& file) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_file(&image, file.c_str()) == 0) return std::nullopt;
  image.format = PNG_FORMAT_RGB;
  Picture picture{.width = image.width, .height = image.height, .samples = {}};
  picture.samples.resize(PNG_IMAGE_SIZE(image));
  if (png_image_finish_read(&image, nullptr, picture.samples.data(), 0, nullptr) == 0) return std::nullopt;
  return picture;
}

bool write_png(const Picture& picture, const std::string& file) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width);
  image.height = static_cast<png_uint_32>(picture.height);
  image.format = PNG_FORMAT_RGB;
  return png_image_write_to_file(&image, file.c_str(), 0, picture.samples.data(), 0, nullptr) != 0;
}

Picture crop(const Picture& picture, Place place, size_t width, size_t height) {
  Picture part;
  if (place.x >= picture.width || place.y >= picture.height) return part;
  part.width = std::min(width, picture.width - place.x);
  part.height = std::min(height, picture.height - place.y);
  for (size_t row = 0; row < part.height; ++row) {
    const auto begin = picture.samples.begin() +
                       static_cast<std::ptrdiff_t>(((place.y + row) * picture.width + place.x) * kChannels);
    part.samples.insert(part.samples.end(), begin,
                        begin + static_cast<std::ptrdiff_t>(part.width * kChannels));
  }
  return part;
}

size_t differences(const Picture& screen, const Picture& reference, Place place, unsigned channel,
                   size_t limit) {
  size_t count = 0;
  for (size_t row = 0; row < reference.height && count <= limit; ++row) {
    const uint8_t* shown = &screen.samples[((place.y + row) * screen.width + place.x) * kChannels];
    const uint8_t* wanted = &reference.samples[row * reference.width * kChannels];
    for (size_t x = 0; x < reference.width && count <= limit; ++x, shown += kChannels, wanted += kChannels) {
      const auto other = [&](size_t at) {
        return static_cast<unsigned>(std::abs(int{shown[at]} - int{wanted[at]})) > channel;
      };
      if (other(0) || other(1) || other(2)) ++count;
    }
  }
  return count;
}

std::optional<Place> find(const Picture& screen, const Picture& reference, Tolerance tolerance) {
  if (reference.samples.empty() || reference.width > screen.width || reference.height > screen.height)
    return std::nullopt;
  const size_t allowed = reference.width * reference.height * tolerance.pixels_per_mille / 1000;
  for (size_t y = 0; y + reference.height <= screen.height; ++y) {
    for (size_t x = 0; x + reference.width <= screen.width; ++x) {
      if (differences(screen, reference, {x, y}, tolerance.channel, allowed) <= allowed) return Place{x, y};
    }
  }
  return std::nullopt;
}

}  // namespace alcove::test
