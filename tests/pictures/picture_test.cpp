#include "picture.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace alcove::test {
namespace {

Picture stripes(size_t width, size_t height) {
  Picture picture{.width = width, .height = height, .samples = {}};
  for (size_t y = 0; y < height; ++y) {
    for (size_t x = 0; x < width; ++x) {
      for (const size_t sample : {x * 7, y * 11, x * y})
        picture.samples.push_back(static_cast<uint8_t>(sample % 199));
    }
  }
  return picture;
}

TEST(Picture, IsFoundWhereItWasCutOut) {
  const Picture screen = stripes(64, 48);
  const auto place =
      find(screen, crop(screen, {.x = 17, .y = 9}, 20, 12), {.channel = 0, .pixels_per_mille = 0});
  ASSERT_TRUE(place);
  EXPECT_EQ(place->x, 17u);
  EXPECT_EQ(place->y, 9u);
  EXPECT_TRUE(find(screen, screen, {}));
}

TEST(Picture, ToleratesWhatItIsToldTo) {
  const Picture screen = stripes(64, 48);
  Picture reference = screen;
  for (uint8_t& sample : reference.samples) sample = static_cast<uint8_t>(sample + 10);
  EXPECT_TRUE(find(screen, reference, {.channel = 10, .pixels_per_mille = 0}));
  EXPECT_FALSE(find(screen, reference, {.channel = 9, .pixels_per_mille = 999}));

  reference = screen;
  for (size_t pixel = 0; pixel < 30; ++pixel) reference.samples[pixel * 3] ^= 0x80;
  EXPECT_TRUE(find(screen, reference, {.channel = 24, .pixels_per_mille = 10}));
  EXPECT_FALSE(find(screen, reference, {.channel = 24, .pixels_per_mille = 9}));
}

TEST(Picture, IsNotFoundInASmallerOne) {
  EXPECT_FALSE(find(stripes(10, 10), stripes(11, 10), {.channel = 255, .pixels_per_mille = 1000}));
  EXPECT_FALSE(find(stripes(10, 10), Picture{}, {}));
  EXPECT_EQ(crop(stripes(10, 10), {.x = 10, .y = 0}, 1, 1).samples.size(), 0u);
  EXPECT_EQ(crop(stripes(10, 10), {.x = 8, .y = 9}, 5, 5).samples.size(), 6u);
}

TEST(Picture, IsTheSameOutOfItsFile) {
  const std::string file = std::filesystem::temp_directory_path() / ("picture." + std::to_string(::getpid()));
  const Picture written = stripes(31, 5);
  ASSERT_TRUE(write_png(written, file));
  const auto read = read_png(file);
  std::filesystem::remove(file);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->width, 31u);
  EXPECT_EQ(read->samples, written.samples);
  EXPECT_FALSE(read_png("/dev/null"));
}

}  // namespace
}  // namespace alcove::test
