// A raw image that was taken for one because of what it holds: the guest must not make it hold something
// else. It could otherwise choose what the next start reads, as a qcow2 image that names other files of the
// host.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "storage/disk.h"
#include "storage/qcow2/header.h"
#include "storage/transfer.h"

namespace alcove::storage {

class GuardedDisk final : public Disk {
 public:
  explicit GuardedDisk(std::unique_ptr<Disk> disk) : disk_(std::move(disk)) {}

  uint64_t size() const override { return disk_->size(); }
  bool is_read_only() const override { return disk_->is_read_only(); }
  IoResult read(uint64_t offset, std::span<const iovec> buffers) override {
    return disk_->read(offset, buffers);
  }
  bool try_read(uint64_t offset, std::span<const iovec> buffers) override {
    return disk_->try_read(offset, buffers);
  }
  IoResult write(uint64_t offset, std::span<const iovec> buffers) override {
    if (offset != 0 || total_size(buffers) == 0) return disk_->write(offset, buffers);
    // The guest may change its memory meanwhile: what is looked at is what is written.
    Cursor cursor(buffers);
    alignas(4096) std::array<std::byte, 512> start;
    cursor.copy_to(start.data(), start.size());
    if (qcow2::has_magic(start)) return std::unexpected(EPERM);
    std::vector<iovec> all{{start.data(), start.size()}};
    const auto rest = cursor.take(total_size(buffers) - start.size());
    all.insert(all.end(), rest.begin(), rest.end());
    return disk_->write(0, all);
  }
  IoResult flush() override { return disk_->flush(); }
  IoResult discard(uint64_t offset, uint64_t size) override { return disk_->discard(offset, size); }
  IoResult write_zeroes(uint64_t offset, uint64_t size, bool may_unmap) override {
    return disk_->write_zeroes(offset, size, may_unmap);
  }
  IoResult find_data(uint64_t offset, uint64_t length, DataExtent& extent) override {
    return disk_->find_data(offset, length, extent);
  }
  Result<> resize(uint64_t size, bool may_shrink, const std::string& where) override {
    return disk_->resize(size, may_shrink, where);
  }
  void abandon() override { disk_->abandon(); }

 private:
  std::unique_ptr<Disk> disk_;
};

}  // namespace alcove::storage
