// A raw disk image in a regular file or block device: the guest's bytes at the same offsets.
#pragma once

#include <atomic>

#include "storage/image_file.h"

namespace alcove::storage {

class RawImage final : public Disk {
 public:
  using Options = ImageFileOptions;

  // `fd` as of ImageFile::create(); `where` names the field in errors.
  static Result<std::unique_ptr<RawImage>> create(UniqueFd fd, const Options& options,
                                                  const std::string& where);

  static Result<std::unique_ptr<RawImage>> create(std::unique_ptr<ImageFile> file, const std::string& where);

  uint64_t size() const override { return size_; }
  bool is_read_only() const override { return file_->is_read_only(); }
  IoResult read(uint64_t offset, std::span<const iovec> buffers) override {
    return file_->read(offset, buffers);
  }
  bool try_read(uint64_t offset, std::span<const iovec> buffers) override {
    return file_->try_read(offset, buffers);
  }
  IoResult write(uint64_t offset, std::span<const iovec> buffers) override {
    return file_->write(offset, buffers);
  }
  IoResult flush() override { return file_->flush(); }
  IoResult discard(uint64_t offset, uint64_t size) override { return file_->discard(offset, size); }
  IoResult write_zeroes(uint64_t offset, uint64_t size, bool may_unmap) override {
    return file_->write_zeroes(offset, size, may_unmap);
  }

  IoResult find_data(uint64_t offset, uint64_t length, DataExtent& extent) override {
    return file_->find_data(offset, length, extent);
  }
  Result<> resize(uint64_t size, bool may_shrink, const std::string& where) override;

  // What offsets, lengths and addresses must be multiples of; 1 if cached.
  size_t alignment() const { return file_->alignment(); }

 private:
  RawImage(std::unique_ptr<ImageFile> file, uint64_t size) : file_(std::move(file)), size_(size) {}

  std::unique_ptr<ImageFile> file_;
  std::atomic<uint64_t> size_;
};

}  // namespace alcove::storage
