// Disks from their configuration and open files.
#pragma once

#include <alcove/storage.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "storage/disk.h"
#include "support/unique_fd.h"

namespace alcove::machine {

// What is told of a network block device.
struct DiskEvents {
  std::function<void()> connected = {};
  std::function<void(const Error&)> failed = {};
};

// `files`: the image and those below it, from the top down. Network block devices have none, and are
// connected.
Result<std::unique_ptr<storage::Disk>> open_disk(const StorageDeviceAttachment& attachment,
                                                 std::vector<UniqueFd> files, const std::string& field,
                                                 const DiskEvents& events = {});

}  // namespace alcove::machine
