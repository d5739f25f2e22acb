#include "storage/image_file.h"

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

constexpr size_t kSector = 512;
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

}  // namespace

Result<std::unique_ptr<ImageFile>> ImageFile::create(UniqueFd fd, const ImageFileOptions& options,
                                                     const std::string& where) {
  const int flags = fcntl(fd.get(), F_GETFL);
  if (flags < 0) return fail(ErrorCode::invalid_disk_image, where, "is not open");
  const int mode = flags & O_ACCMODE;
  if (mode == O_WRONLY || (mode == O_RDONLY && !options.read_only)) {
    return fail(ErrorCode::invalid_disk_image, where, "is not open for reading and writing",
                "give write permission, or attach it read-only");
  }
  struct stat status{};
  if (fstat(fd.get(), &status) != 0) {
    return fail(ErrorCode::invalid_disk_image, where, fmt::format("cannot be examined: {}", strerror(errno)));
  }
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
    return fail(ErrorCode::invalid_disk_image, where, "is neither a regular file nor a block device");
  }
  std::unique_ptr<ImageFile> image(new ImageFile(std::move(fd), options));
  image->is_block_device_ = S_ISBLK(status.st_mode);
  if (options.caching == DiskImageCachingMode::uncached) {
    if (Result<> prepared = image->prepare_direct(where); !prepared) return std::unexpected(prepared.error());
  } else if (flags & O_DIRECT && fcntl(image->fd_.get(), F_SETFL, flags & ~O_DIRECT) != 0) {
    return fail(ErrorCode::invalid_disk_image, where, fmt::format("cannot be cached: {}", strerror(errno)));
  }
  return image;
}

std::expected<uint64_t, int> ImageFile::length() const {
  uint64_t size = 0;
  if (is_block_device_) {
    if (ioctl(fd_.get(), BLKGETSIZE64, &size) != 0) return std::unexpected(errno);
    return size;
  }
  struct stat status{};
  if (fstat(fd_.get(), &status) != 0) return std::unexpected(errno);
  return static_cast<uint64_t>(status.st_size);
}

// Finds what the file asks of direct transfers by trying: what statx tells depends on the kernel's age.
Result<> ImageFile::prepare_direct(const std::string& where) {
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
    if (pread(fd_.get(), buffer.get() + alignment, alignment, static_cast<off_t>(alignment)) < 0) {
      error = errno;
      continue;
    }
    alignment_ = alignment;
    return {};
  }
  return fail(ErrorCode::invalid_disk_image, where,
              fmt::format("cannot be read uncached: {}", strerror(error)), hint);
}

bool ImageFile::is_aligned(uint64_t offset, std::span<const iovec> buffers) const {
  if (offset % alignment_) return false;
  return std::ranges::all_of(buffers, [&](const iovec& buffer) {
    return buffer.iov_len % alignment_ == 0 && reinterpret_cast<uintptr_t>(buffer.iov_base) % alignment_ == 0;
  });
}

IoResult ImageFile::read(uint64_t offset, std::span<const iovec> buffers, PastEnd past_end) {
  if (alignment_ == 1) return transfer(fd_.get(), Direction::read, offset, buffers, {.past_end = past_end});
  if (past_end == PastEnd::zeroes || !is_aligned(offset, buffers))
    return read_bounced(offset, buffers, past_end);
  return transfer(fd_.get(), Direction::read, offset, buffers);
}

bool ImageFile::try_read(uint64_t offset, std::span<const iovec> buffers) {
  if (alignment_ != 1 || !can_try_) return false;  // Direct transfers wait for the disk.
  const IoResult done = transfer(fd_.get(), Direction::read, offset, buffers, {.flags = RWF_NOWAIT});
  if (!done && is_unsupported(done.error())) can_try_ = false;
  return done.has_value();
}

// A whole number of blocks, of which the last may be cut by the file's end.
IoResult ImageFile::read_direct(uint64_t offset, const iovec& buffer, PastEnd past_end) {
  if (past_end == PastEnd::zeroes) {
    const auto end = length();
    if (!end) return std::unexpected(end.error());
    if (*end < offset + buffer.iov_len) {
      const uint64_t useful = *end > offset ? *end - offset : 0;
      std::memset(buffer.iov_base, 0, buffer.iov_len);
      for (uint64_t done = 0; done < useful;) {
        const ssize_t count = pread(fd_.get(), static_cast<std::byte*>(buffer.iov_base) + done,
                                    buffer.iov_len - done, static_cast<off_t>(offset + done));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return std::unexpected(errno);
        if (count == 0) break;
        done += static_cast<uint64_t>(count);
      }
      return {};
    }
  }
  return transfer(fd_.get(), Direction::read, offset, {&buffer, 1});
}

IoResult ImageFile::read_bounced(uint64_t offset, std::span<const iovec> buffers, PastEnd past_end) {
  if (past_end == PastEnd::zeroes && is_aligned(offset, buffers)) {
    for (const iovec& buffer : buffers) {
      if (IoResult done = read_direct(offset, buffer, past_end); !done) return done;
      offset += buffer.iov_len;
    }
    return {};
  }
  const AlignedBuffer bounce = allocate_aligned(alignment_, kBounceSize);
  if (!bounce) return std::unexpected(ENOMEM);
  Cursor cursor(buffers);
  for (uint64_t left = total_size(buffers); left > 0;) {
    const uint64_t before = offset % alignment_;
    const uint64_t useful = std::min(left, kBounceSize - before);
    const uint64_t whole = (before + useful + alignment_ - 1) & ~(uint64_t{alignment_} - 1);
    if (IoResult done = read_direct(offset - before, {bounce.get(), whole}, past_end); !done) return done;
    cursor.copy_from(bounce.get() + before, useful);
    offset += useful;
    left -= useful;
  }
  return {};
}

IoResult ImageFile::write(uint64_t offset, std::span<const iovec> buffers) {
  if (alignment_ == 1) return transfer(fd_.get(), Direction::write, offset, buffers);
  if (!is_aligned(offset, buffers)) return write_bounced(offset, buffers);
  std::shared_lock lock(partial_writes_);
  return transfer(fd_.get(), Direction::write, offset, buffers);
}

IoResult ImageFile::write_bounced(uint64_t offset, std::span<const iovec> buffers) {
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
      // rare. A file may end in the last block, and grows then.
      if (IoResult done = read_direct(offset - before, piece, PastEnd::zeroes); !done) return done;
    }
    cursor.copy_to(bounce.get() + before, useful);
    if (IoResult done = transfer(fd_.get(), Direction::write, offset - before, {&piece, 1}); !done)
      return done;
    offset += useful;
    left -= useful;
  }
  return {};
}

IoResult ImageFile::flush() {
  if (options_.read_only || !is_synchronized()) return {};
  return flushes_.share(
      [this] { return synchronize(options_.synchronization == DiskImageSynchronizationMode::full); });
}

IoResult ImageFile::barrier() {
  if (!is_synchronized()) return {};
  return flushes_.take([this] { return synchronize(false); });
}

// The kernel tells of data that it could not write once, to whichever thread asks next, and no longer tries.
IoResult ImageFile::synchronize(bool with_metadata) {
  if (failure_ == 0) {
    int result;
    do {
      result = with_metadata ? fsync(fd_.get()) : fdatasync(fd_.get());
    } while (result != 0 && errno == EINTR);
    if (result != 0) failure_ = errno;
  }
  if (failure_ != 0) return std::unexpected(failure_);
  return {};
}

IoResult ImageFile::discard(uint64_t offset, uint64_t size) {
  if (size == 0 || !can_punch_) return {};
  std::shared_lock lock(partial_writes_);
  IoResult done = allocate_range(fd_.get(), FALLOC_FL_PUNCH_HOLE, offset, size);
  if (!done && is_unsupported(done.error())) can_punch_ = false;
  if (done || !(is_unsupported(done.error()) || done.error() == EINVAL)) return done;
  return {};
}

IoResult ImageFile::write_zeroes(uint64_t offset, uint64_t size, bool may_unmap) {
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

IoResult ImageFile::find_data(uint64_t offset, uint64_t length, DataExtent& extent) {
  extent = {.length = length};
  const off_t data = lseek(fd_.get(), static_cast<off_t>(offset), SEEK_DATA);
  if (data < 0) {
    // None behind it; or the file system can't tell.
    if (errno == ENXIO) extent.has_data = false;
    return {};
  }
  if (static_cast<uint64_t>(data) > offset) {
    extent = {.length = std::min(length, static_cast<uint64_t>(data) - offset), .has_data = false};
    return {};
  }
  const off_t hole = lseek(fd_.get(), static_cast<off_t>(offset), SEEK_HOLE);
  if (hole > data) extent.length = std::min(length, static_cast<uint64_t>(hole) - offset);
  return {};
}

IoResult ImageFile::resize(uint64_t size) {
  if (is_block_device_) return std::unexpected(EINVAL);
  while (ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
    if (errno != EINTR) return std::unexpected(errno);
  }
  return {};
}

IoResult ImageFile::write_literal_zeroes(uint64_t offset, uint64_t size) {
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
