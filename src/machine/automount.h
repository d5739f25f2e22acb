// Shared folders that appear in the guest without a command typed in it, by what systemd takes from outside.
#pragma once

#include <alcove/virtual_machine_configuration.h>

#include <string>
#include <vector>

namespace alcove::machine {

// What a kernel that is booted directly gets behind its other parameters: "systemd.mount-extra=…" for each
// folder that is to be mounted (systemd-fstab-generator(8), systemd 254).
std::string automount_parameters(const VirtualMachineConfiguration& configuration);
// Firmware strings for a guest that boots by itself: the credential "fstab.extra"
// (systemd.system-credentials(7)). None where the kernel has it from its parameters.
std::vector<std::string> automount_strings(const VirtualMachineConfiguration& configuration);

}  // namespace alcove::machine
