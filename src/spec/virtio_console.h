// Wire facts of the virtio console device (virtio 1.2, section 5.3). No behaviour.
#pragma once

#include <cstdint>

namespace alcove::spec::virtio_console {

inline constexpr uint64_t kFeatureSize = uint64_t{1} << 0;
inline constexpr uint64_t kFeatureMultiplePorts = uint64_t{1} << 1;
inline constexpr uint64_t kFeatureEmergencyWrite = uint64_t{1} << 2;

struct Configuration {
  uint16_t columns;
  uint16_t rows;
  uint32_t maximum_ports;
  uint32_t emergency_write;
};
static_assert(sizeof(Configuration) == 12);

inline constexpr uint32_t kEmergencyWriteOffset = 8;

}  // namespace alcove::spec::virtio_console
