// The file or block device on the host that an image lies in: reads and writes of any alignment, whatever its
// caching mode asks of them. docs/disks.md says which system call serves what in each mode.
#pragma once

#include <alcove/error.h>
#include <alcove/storage.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <shared_mutex>

#include "storage/disk.h"
#include "storage/flush_turns.h"
#include "support/unique_fd.h"

namespace alcove::storage {

struct ImageFileOptions {
  bool read_only = false;
  DiskImageCachingMode caching = DiskImageCachingMode::automatic;
  DiskImageSynchronizationMode synchronization = DiskImageSynchronizationMode::full;
};

// What a read finds where the file has ended.
enum class PastEnd { error, zeroes };

// Calls come from several threads at once.
class ImageFile {
 public:
  // `fd` is open for reading, and for writing unless read_only; uncached images have O_DIRECT set here if the
  // opener did not. `where` names the field in errors.
  static Result<std::unique_ptr<ImageFile>> create(UniqueFd fd, const ImageFileOptions& options,
                                                   const std::string& where);

  bool is_read_only() const { return options_.read_only; }
  bool is_block_device() const { return is_block_device_; }
  // Whether flush() and barrier() do anything.
  bool is_synchronized() const { return options_.synchronization != DiskImageSynchronizationMode::none; }
  // The length now, or an errno value.
  std::expected<uint64_t, int> length() const;

  IoResult read(uint64_t offset, std::span<const iovec> buffers, PastEnd past_end = PastEnd::error);
  // Reads, if the host need not wait for it (Disk::try_read()).
  bool try_read(uint64_t offset, std::span<const iovec> buffers);
  // Extends the file where it lies beyond its end.
  IoResult write(uint64_t offset, std::span<const iovec> buffers);
  // What the synchronization mode makes of a guest's flush. Once it or a barrier has failed, both fail for
  // good: what was written before may be lost, and nobody can tell what.
  IoResult flush();
  // What was written before is on the medium before what is written after, unless nothing is synchronized.
  IoResult barrier();
  // Gives the range's room back, or not: its contents no longer matter.
  IoResult discard(uint64_t offset, uint64_t size);
  IoResult write_zeroes(uint64_t offset, uint64_t size, bool may_unmap);
  // Where the file has holes (Disk::find_data()).
  IoResult find_data(uint64_t offset, uint64_t length, DataExtent& extent);
  // Cuts or extends a regular file.
  IoResult resize(uint64_t size);

  // What offsets, lengths and addresses of direct transfers must be multiples of; 1 if cached.
  size_t alignment() const { return alignment_; }

 private:
  ImageFile(UniqueFd fd, const ImageFileOptions& options) : fd_(std::move(fd)), options_(options) {}
  Result<> prepare_direct(const std::string& where);
  bool is_aligned(uint64_t offset, std::span<const iovec> buffers) const;
  IoResult read_direct(uint64_t offset, const iovec& buffer, PastEnd past_end);
  IoResult read_bounced(uint64_t offset, std::span<const iovec> buffers, PastEnd past_end);
  IoResult write_bounced(uint64_t offset, std::span<const iovec> buffers);
  IoResult write_literal_zeroes(uint64_t offset, uint64_t size);
  IoResult synchronize(bool with_metadata);

  UniqueFd fd_;
  ImageFileOptions options_;
  bool is_block_device_ = false;
  size_t alignment_ = 1;
  // Direct writes of less than a block read it, change it and write it back; no other write may come between.
  std::shared_mutex partial_writes_;
  // The file system refused once (EOPNOTSUPP): not tried again.
  std::atomic<bool> can_punch_ = true;
  std::atomic<bool> can_zero_ = true;
  std::atomic<bool> can_try_ = true;
  FlushTurns flushes_;
  int failure_ = 0;  // Of synchronize(), an errno value; within a turn of flushes_ alone.
};

}  // namespace alcove::storage
