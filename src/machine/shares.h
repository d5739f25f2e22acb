// Shared folders: from a configuration and open descriptors to what a file server serves.
#pragma once

#include <alcove/directory_sharing.h>
#include <alcove/virtual_machine_configuration.h>

#include <optional>
#include <string>
#include <vector>

#include "machine/descriptors.h"
#include "share/server.h"

namespace alcove::machine {

// Takes the share's folders from `descriptors`; `field` is the share's.
Result<share::Share> open_share(const std::optional<DirectoryShare>& share, Descriptors& descriptors,
                                const std::string& field);

// Of each of so many devices.
share::ServerLimits share_limits(size_t devices);

// Of the devices that have one, in order: memory has windows for them.
Result<std::vector<uint64_t>> window_sizes(const VirtualMachineConfiguration& configuration);

}  // namespace alcove::machine
