// What sound devices use on the host.
#pragma once

#include <alcove/error.h>
#include <alcove/virtual_machine_configuration.h>

#include "machine/descriptors.h"

namespace alcove::client {

// Adds the files of streams, and connections to PipeWire for devices that need one.
Result<> open_sound_files(const VirtualMachineConfiguration& configuration,
                          machine::Descriptors& descriptors);

}  // namespace alcove::client
