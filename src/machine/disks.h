// Disks from their configuration and open files.
#pragma once

#include <alcove/storage.h>

#include <memory>
#include <string>
#include <vector>

#include "storage/disk.h"
#include "support/unique_fd.h"

namespace alcove::machine {

// `files`: the image and those below it, from the top down.
Result<std::unique_ptr<storage::Disk>> open_disk(const StorageDeviceAttachment& attachment,
                                                 std::vector<UniqueFd> files, const std::string& field);

}  // namespace alcove::machine
