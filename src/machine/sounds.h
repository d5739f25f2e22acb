// Sound devices from their configuration.
#pragma once

#include <alcove/virtual_machine_configuration.h>

#include <memory>
#include <string>

#include "exec/virtual_clock.h"
#include "machine/descriptors.h"
#include "virtio/device.h"

namespace alcove::machine {

// `field` is the device's path; `label` is shown where the host lists what plays.
Result<std::unique_ptr<virtio::Device>> make_sound_device(const VirtioSoundDeviceConfiguration& configuration,
                                                          const std::string& field, const std::string& label,
                                                          Descriptors& descriptors,
                                                          exec::VirtualClock& clock);

}  // namespace alcove::machine
