// The disks of storage_devices, while their machine runs.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "machine/machine.h"
#include "storage/managed_disk.h"

namespace alcove::machine {

class Storage final : public StorageControl {
 public:
  // The next of them; `size_changed` has the device tell its guest. Empty: its driver would not listen.
  // Before the machine runs.
  void add(std::shared_ptr<storage::DiskControl> disk, std::function<void()> size_changed);

  Result<> set_limits(size_t index, const StorageDeviceLimits& limits) override;
  Result<> resize(size_t index, uint64_t size) override;
  Result<StorageDeviceStatistics> statistics(size_t index) const override;

  // As of storage::DiskControl; of all.
  void set_rushing(bool rushing);
  void abandon();

 private:
  struct Device {
    std::shared_ptr<storage::DiskControl> disk;
    std::function<void()> size_changed;
  };
  Result<const Device*> find(size_t index) const;
  std::vector<Device> devices_;
};

}  // namespace alcove::machine
