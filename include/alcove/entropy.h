// Sources of randomness for the guest.
#pragma once

#include <variant>

namespace alcove {

// A virtio entropy device, fed by the host's getrandom(2).
struct VirtioEntropyDeviceConfiguration {
  bool operator==(const VirtioEntropyDeviceConfiguration&) const = default;
};

using EntropyDeviceConfiguration = std::variant<VirtioEntropyDeviceConfiguration>;

}  // namespace alcove
