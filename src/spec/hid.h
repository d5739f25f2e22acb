// Wire facts of USB HID (Device Class Definition for HID 1.11; HID Usage Tables). No behaviour.
#pragma once

#include <cstdint>

namespace alcove::spec::hid {

#pragma pack(push, 1)

struct HidDescriptor {  // Section 6.2.1.
  uint8_t length = 9;
  uint8_t type = 0x21;
  uint16_t version = 0x0111;
  uint8_t country = 0;
  uint8_t descriptor_count = 1;
  uint8_t report_type = 0x22;
  uint16_t report_length = 0;
};
static_assert(sizeof(HidDescriptor) == 9);

#pragma pack(pop)

inline constexpr uint8_t kHidType = 0x21, kReportType = 0x22;
inline constexpr uint8_t kSubclassBoot = 1, kProtocolKeyboard = 1;
// Section 7.2.
inline constexpr uint8_t kGetReport = 1, kGetIdle = 2, kGetProtocol = 3, kSetReport = 9, kSetIdle = 10,
                         kSetProtocol = 11;
inline constexpr uint8_t kProtocolBoot = 0, kProtocolReport = 1;

// Items of report descriptors with one byte or two of data, section 6.2.2.
enum Item : uint8_t {
  kUsagePage = 0x05,
  kLogicalMinimum = 0x15,
  kLogicalMaximum = 0x25,
  kLogicalMaximum2 = 0x26,
  kUsageMinimum = 0x19,
  kUsageMaximum = 0x29,
  kUsage = 0x09,
  kUsage2 = 0x0A,
  kReportSize = 0x75,
  kReportCount = 0x95,
  kInput = 0x81,
  kOutput = 0x91,
  kCollection = 0xA1,
  kEndCollection = 0xC0,
};
inline constexpr uint8_t kConstant = 0x01, kVariable = 0x02, kRelative = 0x04;
inline constexpr uint8_t kPhysical = 0, kApplication = 1;

inline constexpr uint8_t kPageDesktop = 0x01, kPageKeys = 0x07, kPageLeds = 0x08, kPageButtons = 0x09,
                         kPageConsumer = 0x0C;
inline constexpr uint8_t kDesktopPointer = 0x01, kDesktopMouse = 0x02, kDesktopKeyboard = 0x06,
                         kDesktopX = 0x30, kDesktopY = 0x31, kDesktopWheel = 0x38;
inline constexpr uint16_t kConsumerPan = 0x0238;
inline constexpr uint8_t kFirstModifier = 0xE0, kLastModifier = 0xE7;
inline constexpr uint8_t kErrorRollOver = 0x01;

}  // namespace alcove::spec::hid
