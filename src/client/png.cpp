#include <alcove/graphics.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <png.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "support/unique_fd.h"

namespace alcove {

Result<std::string> DisplayFrame::to_png() const {
  if (pixels.empty() || pixels.size() != size_t{size.width} * size.height)
    return fail(ErrorCode::internal, "", "the frame is empty");
  // libpng's simplified interface knows pixels with alpha only, of which there is none here.
  std::string rows;
  rows.reserve(pixels.size() * 3);
  for (const uint32_t pixel : pixels) {
    for (const unsigned shift : {16, 8, 0}) rows += static_cast<char>(pixel >> shift);
  }
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = size.width;
  image.height = size.height;
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t length = 0;
  std::string bytes;
  bool made = png_image_write_to_memory(&image, nullptr, &length, 0, rows.data(), 0, nullptr) != 0;
  if (made) {
    bytes.resize(length);
    made = png_image_write_to_memory(&image, bytes.data(), &length, 0, rows.data(), 0, nullptr) != 0;
  }
  if (!made) return fail(ErrorCode::internal, "", fmt::format("can't make a PNG file: {}", image.message));
  bytes.resize(length);
  return bytes;
}

Result<> DisplayFrame::save_png(const std::filesystem::path& file) const {
  const auto bytes = to_png();
  if (!bytes) return std::unexpected(bytes.error());
  const auto failed = [&] {
    return fail(ErrorCode::internal, file.string(),
                fmt::format("can't be written: {}", std::strerror(errno)));
  };
  const UniqueFd out(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!out) return failed();
  for (size_t done = 0; done < bytes->size();) {
    const ssize_t count = ::write(out.get(), bytes->data() + done, bytes->size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return failed();
    done += static_cast<size_t>(count);
  }
  return {};
}

}  // namespace alcove
