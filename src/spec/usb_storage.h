// Wire facts of USB mass storage: Bulk-Only Transport 1.0 and USB Attached SCSI (T10 2095-D). No behaviour.
#pragma once

#include <array>
#include <cstdint>

namespace alcove::spec::usb_storage {

inline constexpr uint8_t kSubclassScsi = 6, kProtocolBulkOnly = 0x50, kProtocolUas = 0x62;

// Bulk-Only Transport, section 3: class requests.
inline constexpr uint8_t kBulkOnlyReset = 0xFF, kGetMaximumUnit = 0xFE;

#pragma pack(push, 1)

struct CommandBlock {  // Section 5.1.
  uint32_t signature = 0;
  uint32_t tag = 0;
  uint32_t data_length = 0;
  uint8_t flags = 0;
  uint8_t unit = 0;
  uint8_t length = 0;
  std::array<uint8_t, 16> command{};
};
static_assert(sizeof(CommandBlock) == 31);

struct CommandStatus {  // Section 5.2.
  uint32_t signature = 0x53425355;
  uint32_t tag = 0;
  uint32_t residue = 0;
  uint8_t status = 0;
};
static_assert(sizeof(CommandStatus) == 13);

#pragma pack(pop)

inline constexpr uint32_t kCommandSignature = 0x43425355;
inline constexpr uint8_t kPassed = 0, kFailed = 1, kPhaseError = 2;

}  // namespace alcove::spec::usb_storage
