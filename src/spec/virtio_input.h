// Wire facts of the virtio input device (virtio 1.2, section 5.8). Types and codes of events are those of
// Linux' evdev (5.8.2).
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::spec::virtio_input {

inline constexpr unsigned kEventQueue = 0;
inline constexpr unsigned kStatusQueue = 1;

// Section 5.8.4: what the driver asks the configuration space for.
inline constexpr uint8_t kSelectNone = 0x00;
inline constexpr uint8_t kSelectName = 0x01;
inline constexpr uint8_t kSelectSerial = 0x02;
inline constexpr uint8_t kSelectIds = 0x03;
inline constexpr uint8_t kSelectProperties = 0x10;
inline constexpr uint8_t kSelectEvents = 0x11;  // Sub-selection: the event type.
inline constexpr uint8_t kSelectAxis = 0x12;    // Sub-selection: the axis.

inline constexpr size_t kDataSize = 128;

struct Configuration {
  uint8_t select;
  uint8_t sub_selection;
  uint8_t size;
  uint8_t reserved[5];
  uint8_t data[kDataSize];
};
static_assert(sizeof(Configuration) == 136);

struct AxisInformation {
  uint32_t minimum;
  uint32_t maximum;
  uint32_t fuzz;
  uint32_t flat;
  uint32_t resolution;  // Units in a millimetre.
};
static_assert(sizeof(AxisInformation) == 20);

struct Ids {
  uint16_t bus;
  uint16_t vendor;
  uint16_t product;
  uint16_t version;
};
static_assert(sizeof(Ids) == 8);

// Section 5.8.6
struct Event {
  uint16_t type;
  uint16_t code;
  uint32_t value;
};
static_assert(sizeof(Event) == 8);

}  // namespace alcove::spec::virtio_input
