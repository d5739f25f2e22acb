#include "storage/raw_image.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace alcove::storage {

namespace {

constexpr uint64_t kSector = 512;

}  // namespace

Result<std::unique_ptr<RawImage>> RawImage::create(UniqueFd fd, const Options& options,
                                                   const std::string& where) {
  auto file = ImageFile::create(std::move(fd), options, where);
  if (!file) return std::unexpected(std::move(file.error()));
  return create(*std::move(file), where);
}

Result<std::unique_ptr<RawImage>> RawImage::create(std::unique_ptr<ImageFile> file,
                                                   const std::string& where) {
  const auto size = file->length();
  if (!size) {
    return fail(ErrorCode::invalid_disk_image, where, fmt::format("has no size: {}", strerror(size.error())));
  }
  if (*size == 0 || *size % kSector) {
    return fail(ErrorCode::invalid_disk_image, where,
                fmt::format("its length of {} bytes is not a multiple of 512", *size),
                "a raw image holds whole sectors: extend it with truncate(1), or convert it if it has "
                "another format");
  }
  if (const size_t alignment = file->alignment(); *size % alignment) {
    return fail(ErrorCode::invalid_disk_image, where,
                fmt::format("its length of {} bytes is not a multiple of the {} that uncached access needs",
                            *size, alignment),
                "extend it with truncate(1), or choose caching mode `cached`");
  }
  return std::unique_ptr<RawImage>(new RawImage(std::move(file), *size));
}

Result<> RawImage::resize(uint64_t size, bool may_shrink, const std::string& where) {
  if (is_read_only()) return fail(ErrorCode::invalid_disk_image, where, "is read-only");
  const uint64_t unit = std::max(kSector, uint64_t{alignment()});
  if (size == 0 || size % unit) {
    return fail(ErrorCode::invalid_disk_image, where,
                fmt::format("{} bytes are no multiple of {}", size, unit));
  }
  if (size < size_ && !may_shrink) {
    return fail(ErrorCode::invalid_disk_image, where,
                fmt::format("holds {} bytes: what lies beyond {} would be lost", size_.load(), size));
  }
  if (file_->is_block_device()) {
    // It has the size that it has: others change that, and this takes notice.
    const auto length = file_->length();
    if (!length || size > *length) {
      return fail(ErrorCode::not_supported, where, "is a block device of another size",
                  "resize the device first");
    }
  } else if (const IoResult done = file_->resize(size); !done) {
    return fail(done.error() == ENOSPC || done.error() == EFBIG ? ErrorCode::out_of_disk_space
                                                                : ErrorCode::invalid_disk_image,
                where, fmt::format("can't be resized: {}", strerror(done.error())));
  }
  size_ = size;
  return {};
}

}  // namespace alcove::storage
