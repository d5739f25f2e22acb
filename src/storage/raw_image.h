// A raw disk image in a regular file or block device: the guest's bytes at the same offsets. docs/disks.md
// says which system call serves what in each mode.
#pragma once

#include <alcove/error.h>
#include <alcove/storage.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <shared_mutex>

#include "storage/disk.h"
#include "support/unique_fd.h"

namespace alcove::storage {

class RawImage final : public Disk {
 public:
  struct Options {
    bool read_only = false;
    DiskImageCachingMode caching = DiskImageCachingMode::automatic;
    DiskImageSynchronizationMode synchronization = DiskImageSynchronizationMode::full;
  };

  // `fd` is open for reading, and for writing unless read_only; uncached images have O_DIRECT set here if the
  // opener did not. `where` names the field in errors.
  static Result<std::unique_ptr<RawImage>> create(UniqueFd fd, const Options& options,
                                                  const std::string& where);

  uint64_t size() const override { return size_; }
  bool is_read_only() const override { return options_.read_only; }
  IoResult read(uint64_t offset, std::span<const iovec> buffers) override;
  bool try_read(uint64_t offset, std::span<const iovec> buffers) override;
  IoResult write(uint64_t offset, std::span<const iovec> buffers) override;
  IoResult flush() override;
  IoResult discard(uint64_t offset, uint64_t size) override;
  IoResult write_zeroes(uint64_t offset, uint64_t size, bool may_unmap) override;

  // What offsets, lengths and addresses must be multiples of; 1 if cached.
  size_t alignment() const { return alignment_; }

 private:
  RawImage(UniqueFd fd, const Options& options) : fd_(std::move(fd)), options_(options) {}
  Result<> prepare_direct(const std::string& where);
  bool is_aligned(uint64_t offset, std::span<const iovec> buffers) const;
  IoResult read_bounced(uint64_t offset, std::span<const iovec> buffers);
  IoResult write_bounced(uint64_t offset, std::span<const iovec> buffers);
  IoResult write_literal_zeroes(uint64_t offset, uint64_t size);

  UniqueFd fd_;
  Options options_;
  uint64_t size_ = 0;
  size_t alignment_ = 1;
  // Direct writes of less than a block read it, change it and write it back; no other write may come between.
  std::shared_mutex partial_writes_;
  // The file system refused once (EOPNOTSUPP): not tried again.
  std::atomic<bool> can_punch_ = true;
  std::atomic<bool> can_zero_ = true;
  std::atomic<bool> can_try_ = true;
};

}  // namespace alcove::storage
