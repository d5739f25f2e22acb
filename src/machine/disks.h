// Disks from their configuration and open files.
#pragma once

#include <alcove/storage.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "storage/managed_disk.h"
#include "support/unique_fd.h"

namespace alcove::machine {

// What is told of a network block device.
struct DiskEvents {
  std::function<void()> connected = {};
  std::function<void(const Error&)> failed = {};
};

struct OpenedDisk {
  std::unique_ptr<storage::Disk> disk;            // For the device,
  std::shared_ptr<storage::DiskControl> control;  // and for the machine.
};

// `files`: the image and those below it, from the top down. Network block devices have none, and are
// connected.
// With the control of a disk that it takes the place of.
Result<std::unique_ptr<storage::Disk>> open_disk(const StorageDeviceAttachment& attachment,
                                                 std::shared_ptr<storage::DiskControl> control,
                                                 std::vector<UniqueFd> files, const std::string& field,
                                                 const DiskEvents& events = {});
Result<OpenedDisk> open_disk(const StorageDeviceAttachment& attachment, const StorageDeviceLimits& limits,
                             std::vector<UniqueFd> files, const std::string& field,
                             const DiskEvents& events = {});

}  // namespace alcove::machine
