// Wire facts of SCSI: operation codes and sense (SPC-4, SBC-3, MMC-6). No behaviour.
#pragma once

#include <cstdint>

namespace alcove::spec::scsi {

enum Operation : uint8_t {
  kTestUnitReady = 0x00,
  kRequestSense = 0x03,
  kRead6 = 0x08,
  kWrite6 = 0x0A,
  kInquiry = 0x12,
  kModeSense6 = 0x1A,
  kStartStopUnit = 0x1B,
  kPreventAllow = 0x1E,
  kReadFormatCapacities = 0x23,
  kReadCapacity10 = 0x25,
  kRead10 = 0x28,
  kWrite10 = 0x2A,
  kVerify10 = 0x2F,
  kSynchronizeCache10 = 0x35,
  kUnmap = 0x42,
  kReadToc = 0x43,
  kGetConfiguration = 0x46,
  kGetEventStatus = 0x4A,
  kReadDiscInformation = 0x51,
  kModeSense10 = 0x5A,
  kRead16 = 0x88,
  kWrite16 = 0x8A,
  kVerify16 = 0x8F,
  kSynchronizeCache16 = 0x91,
  kServiceActionIn16 = 0x9E,
  kReportLuns = 0xA0,
  kRead12 = 0xA8,
  kWrite12 = 0xAA,
};
inline constexpr uint8_t kActionReadCapacity16 = 0x10;

// Peripheral device types.
inline constexpr uint8_t kTypeDisk = 0x00, kTypeOptical = 0x05;

// Sense: key, additional code and its qualifier (SPC-4, sections 4.5.6 and D.2).
struct Sense {
  uint8_t key = 0;
  uint8_t code = 0;
  uint8_t qualifier = 0;
  bool operator==(const Sense&) const = default;
};
// MMC-6, section 6.6.3: media events.
inline constexpr uint8_t kEventNewMedium = 2;
inline constexpr uint8_t kEventMediumRemoved = 3;

inline constexpr Sense kNoSense{};
inline constexpr Sense kMediumNotPresent{0x2, 0x3A, 0x00};
inline constexpr Sense kReadError{0x3, 0x11, 0x00};
inline constexpr Sense kWriteError{0x3, 0x0C, 0x00};
inline constexpr Sense kInvalidOperation{0x5, 0x20, 0x00};
inline constexpr Sense kOutOfRange{0x5, 0x21, 0x00};
inline constexpr Sense kInvalidField{0x5, 0x24, 0x00};
inline constexpr Sense kUnitNotSupported{0x5, 0x25, 0x00};
inline constexpr Sense kInvalidParameter{0x5, 0x26, 0x00};
inline constexpr Sense kRemovalPrevented{0x5, 0x53, 0x02};
inline constexpr Sense kMediumChanged{0x6, 0x28, 0x00};
inline constexpr Sense kWriteProtected{0x7, 0x27, 0x00};
inline constexpr Sense kDataPhaseError{0xB, 0x4B, 0x00};

inline constexpr uint8_t kStatusGood = 0x00, kStatusCheckCondition = 0x02;

}  // namespace alcove::spec::scsi
