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

// Section 5.3.6.2: what goes through the control queues.
struct ControlMessage {
  uint32_t port;
  uint16_t event;
  uint16_t value;
};
static_assert(sizeof(ControlMessage) == 8);

enum ControlEvent : uint16_t {
  kDeviceReady = 0,  // The driver: 1, or 0 for a failure.
  kPortAdd = 1,
  kPortRemove = 2,
  kPortReady = 3,    // The driver: as above.
  kConsolePort = 4,  // It is to be a console.
  kResize = 5,       // Followed by the terminal's columns and rows.
  kPortOpen = 6,     // Both: 1 open, 0 closed.
  kPortName = 7,     // Followed by the name, without a zero byte.
};

// Section 5.3.2: ports 0 and up have queues 0 and 1, 4 and 5, 6 and 7…; receiving first.
inline constexpr unsigned kControlReceiveQueue = 2;
inline constexpr unsigned kControlTransmitQueue = 3;
constexpr unsigned receive_queue(unsigned port) {
  return port == 0 ? 0 : 2 * port + 2;
}

}  // namespace alcove::spec::virtio_console
