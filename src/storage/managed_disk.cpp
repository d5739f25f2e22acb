#include "storage/managed_disk.h"

#include "storage/transfer.h"

namespace alcove::storage {

StorageDeviceStatistics DiskControl::statistics() const {
  return {.size = size_,
          .read_operations = reads_,
          .read_bytes = read_bytes_,
          .write_operations = writes_,
          .written_bytes = written_bytes_,
          .flush_operations = flushes_,
          .discard_operations = discards_,
          .failed_operations = failures_};
}

Result<> DiskControl::resize(uint64_t size, const std::string& where) {
  const std::lock_guard lock(mutex_);
  if (!disk_) return fail(ErrorCode::not_supported, where, "is not there any more");
  return disk_->resize(size, false, where);
}

void DiskControl::abandon() {
  const std::lock_guard lock(mutex_);
  if (disk_) disk_->abandon();
}

ManagedDisk::ManagedDisk(std::unique_ptr<Disk> disk, std::shared_ptr<DiskControl> control)
    : disk_(std::move(disk)), control_(std::move(control)) {
  const std::lock_guard lock(control_->mutex_);
  control_->size_ = disk_->size();
  control_->disk_ = this;
}

ManagedDisk::~ManagedDisk() {
  const std::lock_guard lock(control_->mutex_);
  if (control_->disk_ == this) control_->disk_ = nullptr;
}

IoResult ManagedDisk::counted(IoResult result) {
  if (!result) ++control_->failures_;
  return result;
}

IoResult ManagedDisk::read(uint64_t offset, std::span<const iovec> buffers) {
  const uint64_t bytes = total_size(buffers);
  control_->limiter_.admit(bytes);
  ++control_->reads_;
  control_->read_bytes_ += bytes;
  return counted(disk_->read(offset, buffers));
}

bool ManagedDisk::try_read(uint64_t offset, std::span<const iovec> buffers) {
  if (!control_->limiter_.is_unlimited() || !disk_->try_read(offset, buffers)) return false;
  ++control_->reads_;
  control_->read_bytes_ += total_size(buffers);
  return true;
}

IoResult ManagedDisk::write(uint64_t offset, std::span<const iovec> buffers) {
  const uint64_t bytes = total_size(buffers);
  control_->limiter_.admit(bytes);
  ++control_->writes_;
  control_->written_bytes_ += bytes;
  return counted(disk_->write(offset, buffers));
}

IoResult ManagedDisk::flush() {
  ++control_->flushes_;
  return counted(disk_->flush());
}

IoResult ManagedDisk::discard(uint64_t offset, uint64_t size) {
  control_->limiter_.admit(0);
  ++control_->discards_;
  return counted(disk_->discard(offset, size));
}

IoResult ManagedDisk::write_zeroes(uint64_t offset, uint64_t size, bool may_unmap) {
  control_->limiter_.admit(0);
  ++control_->writes_;
  return counted(disk_->write_zeroes(offset, size, may_unmap));
}

Result<> ManagedDisk::resize(uint64_t size, bool may_shrink, const std::string& where) {
  Result<> resized = disk_->resize(size, may_shrink, where);
  if (resized) control_->size_ = size;
  return resized;
}

}  // namespace alcove::storage
