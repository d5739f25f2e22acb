// A running machine's disk: between the device and what backs it, counts what is done and keeps it within
// limits.
#pragma once

#include <alcove/devices.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "storage/disk.h"
#include "storage/rate_limiter.h"

namespace alcove::storage {

// What the machine has of a disk that belongs to a device, and may end before this does. Any thread.
class DiskControl {
 public:
  explicit DiskControl(StorageDeviceLimits limits) { limiter_.set(limits); }

  StorageDeviceLimits limits() const { return limiter_.limits(); }
  void set_limits(StorageDeviceLimits limits) { limiter_.set(limits); }
  StorageDeviceStatistics statistics() const;
  // The machine pauses or ends: nothing waits for its turn.
  void set_rushing(bool rushing) { limiter_.set_rushing(rushing); }
  // As of Disk; not_supported, and nothing, once there is no disk.
  Result<> resize(uint64_t size, const std::string& where);
  void abandon();

 private:
  friend class ManagedDisk;
  RateLimiter limiter_;
  std::mutex mutex_;  // Guards disk_.
  Disk* disk_ = nullptr;
  std::atomic<uint64_t> size_ = 0, reads_ = 0, read_bytes_ = 0, writes_ = 0, written_bytes_ = 0, flushes_ = 0,
                        discards_ = 0, failures_ = 0;
};

class ManagedDisk final : public Disk {
 public:
  // The control is this disk's from now on, if it was another's before.
  ManagedDisk(std::unique_ptr<Disk> disk, std::shared_ptr<DiskControl> control);
  ~ManagedDisk() override;

  uint64_t size() const override { return disk_->size(); }
  bool is_read_only() const override { return disk_->is_read_only(); }
  IoResult read(uint64_t offset, std::span<const iovec> buffers) override;
  bool try_read(uint64_t offset, std::span<const iovec> buffers) override;
  IoResult write(uint64_t offset, std::span<const iovec> buffers) override;
  IoResult flush() override;
  IoResult discard(uint64_t offset, uint64_t size) override;
  IoResult write_zeroes(uint64_t offset, uint64_t size, bool may_unmap) override;
  IoResult find_data(uint64_t offset, uint64_t length, DataExtent& extent) override {
    return disk_->find_data(offset, length, extent);
  }
  Result<> resize(uint64_t size, bool may_shrink, const std::string& where) override;
  void abandon() override { disk_->abandon(); }

 private:
  IoResult counted(IoResult result);

  const std::unique_ptr<Disk> disk_;
  const std::shared_ptr<DiskControl> control_;
};

}  // namespace alcove::storage
