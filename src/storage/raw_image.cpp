#include "storage/raw_image.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "storage/transfer.h"

namespace alcove::storage {

namespace {

constexpr uint64_t kSector = 512;
constexpr size_t kBounceSize = 1 << 20;
constexpr size_t kLargestAlignment = 4096;

// EINVAL is about one range that a block device finds misaligned, the others about the file.
bool is_unsupported(int error) {
  return error == EOPNOTSUPP || error == ENOSYS || error == ENODEV;
}

IoResult allocate_range(int fd, int mode, uint64_t offset, uint64_t size) {
  while (fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset), static_cast<off_t>(size)) !=
         0) {
    if (errno != EINTR) return std::unexpected(errno);
  }
  return {};
}

Result<uint64_t> measure(int fd, const std::string& where) {
  struct stat status{};
  if (fstat(fd, &status) != 0) {
    return fail(ErrorCode::invalid_disk_image, where, fmt::format("cannot be examined: {}", strerror(errno)));
  }
  uint64_t size = 0;
  if (S_ISREG(status.st_mode)) {
    size = static_cast<uint64_t>(status.st_size);
  } else if (!S_ISBLK(status.st_mode)) {
    return fail(ErrorCode::invalid_disk_image, where, "is neither a regular file nor a block device");
  } else if (ioctl(fd, BLKGETSIZE64, &size) != 0) {
    return fail(ErrorCode::invalid_disk_image, where, fmt::format("has no size: {}", strerror(errno)));
  }
  if (size == 0 || size % kSector) {
    return fail(ErrorCode::invalid_disk_image, where,
                fmt::format("its length of {} bytes is not a multiple of 512", size),
                "a raw image holds whole sectors: extend it with truncate(1), or convert it if it has "
                "another format");
  }
  return size;
}

}  // namespace

Result<std::unique_ptr<RawImage>> RawImage::create(UniqueFd fd, const Options& options,
                                                   const std::string& where) {
  const int flags = fcntl(fd.get(), F_GETFL);
  if (flags < 0) return fail(ErrorCode::invalid_disk_image, where, "is not open");
  const int mode = flags & O_ACCMODE;
  if (mode == O_WRONLY || (mode == O_RDONLY && !options.read_only)) {
    return fail(ErrorCode::invalid_disk_image, where, "is not open for reading and writing",
                "give write permission, or attach it read-only");
  }
  const Result<uint64_t> size = measure(fd.get(), where);
  if (!size) return std::unexpected(size.error());
  std::unique_ptr<RawImage> image(new RawImage(std::move(fd), options));
  image->size_ = *size;
  if (options.caching == DiskImageCachingMode::uncached) {
    if (Result<> prepared = image->prepare_direct(where); !prepared) return std::unexpected(prepared.error());
  } else if (flags & O_DIRECT && fcntl(image->fd_.get(), F_SETFL, flags & ~O_DIRECT) != 0) {
    return fail(ErrorCode::invalid_disk_image, where, fmt::format("cannot be cached: {}", strerror(errno)));
  }
  return image;
}

// Finds what the file asks of direct transfers by trying: what statx tells depends on the kernel's age.
Result<> RawImage::prepare_direct(const std::string& where) {
  const std::string hint = "choose caching mode `cached`, or a file system that allows direct access";
  const int flags = fcntl(fd_.get(), F_GETFL);
  if (!(flags & O_DIRECT) && fcntl(fd_.get(), F_SETFL, flags | O_DIRECT) != 0) {
    return fail(ErrorCode::invalid_disk_image, where,
                fmt::format("its file system has no uncached access: {}", strerror(errno)), hint);
  }
  const AlignedBuffer buffer = allocate_aligned(2 * kLargestAlignment, 2 * kLargestAlignment);
  int error = ENOMEM;
  for (size_t alignment = kSector; buffer && alignment <= kLargestAlignment; alignment *= 2) {
    // An address, a length and an offset that are multiples of `alignment` but of nothing larger.
    const uint64_t offset = size_ >= 2 * alignment ? alignment : 0;
    if (pread(fd_.get(), buffer.get() + alignment, alignment, static_cast<off_t>(offset)) < 0) {
      error = errno;
      continue;
    }
    if (size_ % alignment) {
      return fail(ErrorCode::invalid_disk_image, where,
                  fmt::format("its length of {} bytes is not a multiple of the {} that uncached access needs",
                              size_, alignment),
                  "extend it with truncate(1), or choose caching mode `cached`");
    }
    alignment_ = alignment;
    return {};
  }
  return fail(ErrorCode::invalid_disk_image, where,
              fmt::format("cannot be read uncached: {}", strerror(error)), hint);
}

bool RawImage::is_aligned(uint64_t offset, std::span<const iovec> buffers) const {
  if (offset % alignment_) return false;
  return std::ranges::all_of(buffers, [&](const iovec& buffer) {
    return buffer.iov_len % alignment_ == 0 && reinterpret_cast<uintptr_t>(buffer.iov_base) % alignment_ == 0;
  });
}

IoResult RawImage::read(uint64_t offset, std::span<const iovec> buffers) {
  if (!is_aligned(offset, buffers)) return read_bounced(offset, buffers);
  return transfer(fd_.get(), Direction::read, offset, buffers);
}

bool RawImage::try_read(uint64_t offset, std::span<const iovec> buffers) {
  if (alignment_ != 1 || !can_try_) return false;  // Direct transfers wait for the disk.
  const IoResult done = transfer(fd_.get(), Direction::read, offset, buffers, RWF_NOWAIT);
  if (!done && is_unsupported(done.error())) can_try_ = false;
  return done.has_value();
}

IoResult RawImage::read_bounced(uint64_t offset, std::span<const iovec> buffers) {
  const AlignedBuffer bounce = allocate_aligned(alignment_, kBounceSize);
  if (!bounce) return std::unexpected(ENOMEM);
  Cursor cursor(buffers);
  for (uint64_t left = total_size(buffers); left > 0;) {
    const uint64_t before = offset % alignment_;
    const uint64_t useful = std::min(left, kBounceSize - before);
    const uint64_t whole = (before + useful + alignment_ - 1) & ~(uint64_t{alignment_} - 1);
    const iovec piece{bounce.get(), whole};
    if (IoResult done = transfer(fd_.get(), Direction::read, offset - before, {&piece, 1}); !done)
      return done;
    cursor.copy_from(bounce.get() + before, useful);
    offset += useful;
    left -= useful;
  }
  return {};
}

IoResult RawImage::write(uint64_t offset, std::span<const iovec> buffers) {
  if (alignment_ == 1) return transfer(fd_.get(), Direction::write, offset, buffers);
  if (!is_aligned(offset, buffers)) return write_bounced(offset, buffers);
  std::shared_lock lock(partial_writes_);
  return transfer(fd_.get(), Direction::write, offset, buffers);
}

IoResult RawImage::write_bounced(uint64_t offset, std::span<const iovec> buffers) {
  const AlignedBuffer bounce = allocate_aligned(alignment_, kBounceSize);
  if (!bounce) return std::unexpected(ENOMEM);
  std::unique_lock lock(partial_writes_);
  Cursor cursor(buffers);
  for (uint64_t left = total_size(buffers); left > 0;) {
    const uint64_t before = offset % alignment_;
    const uint64_t useful = std::min(left, kBounceSize - before);
    const uint64_t whole = (before + useful + alignment_ - 1) & ~(uint64_t{alignment_} - 1);
    const iovec piece{bounce.get(), whole};
    if (useful != whole) {
      // The first and the last block hold bytes that stay; those between are read for nothing, but this is
      // rare.
      if (IoResult done = transfer(fd_.get(), Direction::read, offset - before, {&piece, 1}); !done)
        return done;
    }
    cursor.copy_to(bounce.get() + before, useful);
    if (IoResult done = transfer(fd_.get(), Direction::write, offset - before, {&piece, 1}); !done)
      return done;
    offset += useful;
    left -= useful;
  }
  return {};
}

IoResult RawImage::flush() {
  if (options_.read_only) return {};
  int result = 0;
  switch (options_.synchronization) {
    case DiskImageSynchronizationMode::full:
      result = fsync(fd_.get());
      break;
    case DiskImageSynchronizationMode::fsync:
      result = fdatasync(fd_.get());
      break;
    case DiskImageSynchronizationMode::none:
      break;
  }
  if (result != 0) return std::unexpected(errno);
  return {};
}

IoResult RawImage::discard(uint64_t offset, uint64_t size) {
  if (size == 0 || !can_punch_) return {};
  std::shared_lock lock(partial_writes_);
  IoResult done = allocate_range(fd_.get(), FALLOC_FL_PUNCH_HOLE, offset, size);
  if (!done && is_unsupported(done.error())) can_punch_ = false;
  if (done || !(is_unsupported(done.error()) || done.error() == EINVAL)) return done;
  return {};
}

IoResult RawImage::write_zeroes(uint64_t offset, uint64_t size, bool may_unmap) {
  if (size == 0) return {};
  std::shared_lock lock(partial_writes_);
  if (may_unmap && can_punch_) {
    IoResult done = allocate_range(fd_.get(), FALLOC_FL_PUNCH_HOLE, offset, size);
    if (!done && is_unsupported(done.error())) can_punch_ = false;
    if (done || !(is_unsupported(done.error()) || done.error() == EINVAL)) return done;
  }
  if (can_zero_) {
    IoResult done = allocate_range(fd_.get(), FALLOC_FL_ZERO_RANGE, offset, size);
    if (!done && is_unsupported(done.error())) can_zero_ = false;
    if (done || !(is_unsupported(done.error()) || done.error() == EINVAL)) return done;
  }
  lock.unlock();
  return write_literal_zeroes(offset, size);
}

IoResult RawImage::write_literal_zeroes(uint64_t offset, uint64_t size) {
  const uint64_t most = std::min<uint64_t>(size, kBounceSize);
  const size_t alignment = std::max<size_t>(alignment_, kSector);
  const AlignedBuffer zeroes = allocate_aligned(alignment, (most + alignment - 1) & ~(alignment - 1));
  if (!zeroes) return std::unexpected(ENOMEM);
  std::memset(zeroes.get(), 0, most);
  while (size > 0) {
    const iovec piece{zeroes.get(), std::min(size, most)};
    if (IoResult done = write(offset, {&piece, 1}); !done) return done;
    offset += piece.iov_len;
    size -= piece.iov_len;
  }
  return {};
}

}  // namespace alcove::storage
