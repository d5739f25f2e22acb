// The software CPU engine as a Hypervisor.
#pragma once

#include <memory>

#include "cpu/hypervisor.h"

namespace alcove::cpu::soft {

std::unique_ptr<Hypervisor> create_hypervisor();

}  // namespace alcove::cpu::soft
