// Wire facts of USB: requests and descriptors (USB 2.0, chapter 9; USB 3.2, chapter 9). No behaviour.
#pragma once

#include <cstdint>

namespace alcove::spec::usb {

#pragma pack(push, 1)

// USB 2.0, table 9-2.
struct SetupPacket {
  uint8_t request_type = 0;
  uint8_t request = 0;
  uint16_t value = 0;
  uint16_t index = 0;
  uint16_t length = 0;
};
static_assert(sizeof(SetupPacket) == 8);

struct DeviceDescriptor {  // Table 9-8.
  uint8_t length = 18;
  uint8_t type = 1;
  uint16_t version = 0;  // BCD.
  uint8_t device_class = 0;
  uint8_t device_subclass = 0;
  uint8_t device_protocol = 0;
  uint8_t max_packet_size = 0;  // SuperSpeed: the exponent.
  uint16_t vendor = 0;
  uint16_t product = 0;
  uint16_t release = 0;  // BCD.
  uint8_t manufacturer_string = 0;
  uint8_t product_string = 0;
  uint8_t serial_string = 0;
  uint8_t configuration_count = 1;
};
static_assert(sizeof(DeviceDescriptor) == 18);

struct DeviceQualifier {  // Table 9-9.
  uint8_t length = 10;
  uint8_t type = 6;
  uint16_t version = 0;
  uint8_t device_class = 0;
  uint8_t device_subclass = 0;
  uint8_t device_protocol = 0;
  uint8_t max_packet_size = 64;
  uint8_t configuration_count = 0;
  uint8_t reserved = 0;
};
static_assert(sizeof(DeviceQualifier) == 10);

struct ConfigurationDescriptor {  // Table 9-10.
  uint8_t length = 9;
  uint8_t type = 2;
  uint16_t total_length = 0;
  uint8_t interface_count = 1;
  uint8_t value = 1;
  uint8_t string = 0;
  uint8_t attributes = 0xC0;  // Self-powered.
  uint8_t max_power = 0;
};
static_assert(sizeof(ConfigurationDescriptor) == 9);

struct InterfaceDescriptor {  // Table 9-12.
  uint8_t length = 9;
  uint8_t type = 4;
  uint8_t number = 0;
  uint8_t alternate = 0;
  uint8_t endpoint_count = 0;
  uint8_t interface_class = 0;
  uint8_t interface_subclass = 0;
  uint8_t interface_protocol = 0;
  uint8_t string = 0;
};
static_assert(sizeof(InterfaceDescriptor) == 9);

struct EndpointDescriptor {  // Table 9-13.
  uint8_t length = 7;
  uint8_t type = 5;
  uint8_t address = 0;
  uint8_t attributes = 0;
  uint16_t max_packet_size = 0;
  uint8_t interval = 0;
};
static_assert(sizeof(EndpointDescriptor) == 7);

struct SuperSpeedCompanion {  // USB 3.2, table 9-28.
  uint8_t length = 6;
  uint8_t type = 0x30;
  uint8_t max_burst = 0;
  uint8_t attributes = 0;  // Bulk: the exponent of the number of streams.
  uint16_t bytes_per_interval = 0;
};
static_assert(sizeof(SuperSpeedCompanion) == 6);

// USB 3.2, section 9.6.2: BOS, USB 2.0 extension and SuperSpeed capability.
struct BosDescriptor {
  uint8_t length = 5;
  uint8_t type = 0x0F;
  uint16_t total_length = 0;
  uint8_t capability_count = 0;
};
static_assert(sizeof(BosDescriptor) == 5);
struct Usb2Extension {
  uint8_t length = 7;
  uint8_t type = 0x10;
  uint8_t capability = 2;
  uint32_t attributes = 0;
};
static_assert(sizeof(Usb2Extension) == 7);
struct SuperSpeedCapability {
  uint8_t length = 10;
  uint8_t type = 0x10;
  uint8_t capability = 3;
  uint8_t attributes = 0;
  uint16_t speeds = 0x0008;       // 5 Gbit/s.
  uint8_t lowest_full_speed = 3;  // Works at 5 Gbit/s only.
  uint8_t u1_exit_latency = 0;
  uint16_t u2_exit_latency = 0;
};
static_assert(sizeof(SuperSpeedCapability) == 10);

#pragma pack(pop)

// bmRequestType.
inline constexpr uint8_t kDirectionIn = 0x80;
inline constexpr uint8_t kTypeMask = 0x60, kTypeStandard = 0x00, kTypeClass = 0x20;
inline constexpr uint8_t kRecipientMask = 0x1F, kRecipientDevice = 0, kRecipientInterface = 1,
                         kRecipientEndpoint = 2;

// Table 9-4; USB 3.2, table 9-5.
inline constexpr uint8_t kGetStatus = 0, kClearFeature = 1, kSetFeature = 3, kSetAddress = 5,
                         kGetDescriptor = 6, kGetConfiguration = 8, kSetConfiguration = 9, kGetInterface = 10,
                         kSetInterface = 11, kSetSel = 48, kSetIsochDelay = 49;

inline constexpr uint8_t kDeviceType = 1, kConfigurationType = 2, kStringType = 3, kQualifierType = 6,
                         kBosType = 15;
inline constexpr uint16_t kFeatureEndpointHalt = 0;

// bmAttributes of endpoints.
inline constexpr uint8_t kBulk = 2, kInterrupt = 3;

inline constexpr uint16_t kLanguageEnglish = 0x0409;

// pid.codes has ids for what has no vendor's own; these are not given to products.
inline constexpr uint16_t kVendor = 0x1209;
inline constexpr uint16_t kProductStorage = 0x0001, kProductKeyboard = 0x0002, kProductTablet = 0x0003;

inline constexpr uint8_t kClassHid = 3, kClassMassStorage = 8;

}  // namespace alcove::spec::usb
