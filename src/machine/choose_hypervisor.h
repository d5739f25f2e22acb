#pragma once

#include <alcove/virtual_machine_configuration.h>

#include <memory>

#include "cpu/hypervisor.h"
#include "support/unique_fd.h"

namespace alcove::machine {

// `kvm` is an open /dev/kvm, or none where it can't be opened.
Result<std::unique_ptr<cpu::Hypervisor>> choose_hypervisor(HypervisorChoice choice, UniqueFd kvm);

}  // namespace alcove::machine
