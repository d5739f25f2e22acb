// The descriptors in a configuration's disks.
#pragma once

#include <alcove/virtual_machine_configuration.h>

#include <vector>

#include "support/unique_fd.h"

namespace alcove::client {

// Copies of them: the caller may close its own.
Result<std::vector<UniqueFd>> duplicate_disk_handles(const VirtualMachineConfiguration& configuration);
// Puts the copies in their place.
void use_disk_handles(VirtualMachineConfiguration& configuration, const std::vector<UniqueFd>& handles);

}  // namespace alcove::client
