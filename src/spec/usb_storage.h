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

// USB Attached SCSI, section 5.2.3.3: which of the four pipes an endpoint is.
struct PipeUsageDescriptor {
  uint8_t length = 4;
  uint8_t type = 0x24;
  uint8_t pipe = 0;
  uint8_t reserved = 0;
};
static_assert(sizeof(PipeUsageDescriptor) == 4);
inline constexpr uint8_t kPipeCommand = 1, kPipeStatus = 2, kPipeDataIn = 3, kPipeDataOut = 4;

// USB Attached SCSI, section 6.2: information units. Numbers of two bytes are big-endian.
inline constexpr uint8_t kUnitCommand = 1, kUnitSense = 3, kUnitResponse = 4, kUnitTaskManagement = 5;

struct CommandUnit {  // Table 11.
  uint8_t id = kUnitCommand;
  uint8_t reserved1 = 0;
  std::array<uint8_t, 2> tag{};
  uint8_t attribute = 0;
  uint8_t reserved5 = 0;
  uint8_t additional_length = 0;  // Bits 7:2: doublewords of the command beyond 16 bytes.
  uint8_t reserved7 = 0;
  std::array<uint8_t, 8> logical_unit{};
  std::array<uint8_t, 16> command{};
};
static_assert(sizeof(CommandUnit) == 32);

struct TaskManagementUnit {  // Table 17.
  uint8_t id = kUnitTaskManagement;
  uint8_t reserved1 = 0;
  std::array<uint8_t, 2> tag{};
  uint8_t function = 0;
  uint8_t reserved5 = 0;
  std::array<uint8_t, 2> managed_tag{};
  std::array<uint8_t, 8> logical_unit{};
};
static_assert(sizeof(TaskManagementUnit) == 16);

struct SenseUnit {  // Table 13; sense data follows.
  uint8_t id = kUnitSense;
  uint8_t reserved1 = 0;
  std::array<uint8_t, 2> tag{};
  std::array<uint8_t, 2> qualifier{};
  uint8_t status = 0;
  std::array<uint8_t, 7> reserved7{};
  std::array<uint8_t, 2> length{};
};
static_assert(sizeof(SenseUnit) == 16);

struct ResponseUnit {  // Table 14.
  uint8_t id = kUnitResponse;
  uint8_t reserved1 = 0;
  std::array<uint8_t, 2> tag{};
  std::array<uint8_t, 3> information{};
  uint8_t code = 0;
};
static_assert(sizeof(ResponseUnit) == 8);

#pragma pack(pop)

// Table 18.
inline constexpr uint8_t kAbortTask = 0x01, kAbortTaskSet = 0x02, kClearTaskSet = 0x04, kResetUnit = 0x08,
                         kResetNexus = 0x10, kQueryTask = 0x80, kQueryTaskSet = 0x81;
// Table 15.
inline constexpr uint8_t kFunctionComplete = 0x00, kFunctionNotSupported = 0x04, kFunctionSucceeded = 0x08,
                         kIncorrectUnit = 0x09, kOverlappedTag = 0x0A;

inline constexpr uint32_t kCommandSignature = 0x43425355;
inline constexpr uint8_t kPassed = 0, kFailed = 1, kPhaseError = 2;

}  // namespace alcove::spec::usb_storage
