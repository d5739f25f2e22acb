// Memory that the guest gives back to the host.
#pragma once

#include <variant>

namespace alcove {

// A virtio balloon. What the guest puts into it, and with free page reporting what it frees, is really
// returned to the host at once.
struct VirtioTraditionalMemoryBalloonDeviceConfiguration {
  bool free_page_reporting = true;  // The guest tells of free pages by itself, without a target being set.
  bool deflate_on_out_of_memory = true;  // A guest that runs out of memory may take pages from the balloon.

  bool operator==(const VirtioTraditionalMemoryBalloonDeviceConfiguration&) const = default;
};

using MemoryBalloonDeviceConfiguration = std::variant<VirtioTraditionalMemoryBalloonDeviceConfiguration>;

}  // namespace alcove
