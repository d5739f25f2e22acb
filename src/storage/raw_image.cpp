#include "storage/raw_image.h"

#include <fmt/format.h>

#include <cstring>

namespace alcove::storage {

namespace {

constexpr uint64_t kSector = 512;

}  // namespace

Result<std::unique_ptr<RawImage>> RawImage::create(UniqueFd fd, const Options& options,
                                                   const std::string& where) {
  auto file = ImageFile::create(std::move(fd), options, where);
  if (!file) return std::unexpected(std::move(file.error()));
  const auto size = (*file)->length();
  if (!size) {
    return fail(ErrorCode::invalid_disk_image, where, fmt::format("has no size: {}", strerror(size.error())));
  }
  if (*size == 0 || *size % kSector) {
    return fail(ErrorCode::invalid_disk_image, where,
                fmt::format("its length of {} bytes is not a multiple of 512", *size),
                "a raw image holds whole sectors: extend it with truncate(1), or convert it if it has "
                "another format");
  }
  if (const size_t alignment = (*file)->alignment(); *size % alignment) {
    return fail(ErrorCode::invalid_disk_image, where,
                fmt::format("its length of {} bytes is not a multiple of the {} that uncached access needs",
                            *size, alignment),
                "extend it with truncate(1), or choose caching mode `cached`");
  }
  return std::unique_ptr<RawImage>(new RawImage(*std::move(file), *size));
}

}  // namespace alcove::storage
