// Wire facts of NVM Express 1.4: registers, queue entries, commands, identification. No behaviour.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::spec::nvme {

inline constexpr uint32_t kClass = 0x010802;  // PCI: mass storage, non-volatile memory, NVM Express.

// Section 3.1: registers.
inline constexpr uint64_t kCapabilities = 0x00;  // 64 bits
inline constexpr uint64_t kVersion = 0x08;
inline constexpr uint64_t kInterruptMaskSet = 0x0c;
inline constexpr uint64_t kInterruptMaskClear = 0x10;
inline constexpr uint64_t kConfiguration = 0x14;
inline constexpr uint64_t kStatus = 0x1c;
inline constexpr uint64_t kAdminQueueAttributes = 0x24;
inline constexpr uint64_t kAdminSubmissionQueue = 0x28;  // 64 bits
inline constexpr uint64_t kAdminCompletionQueue = 0x30;  // 64 bits
inline constexpr uint64_t kDoorbells = 0x1000;

inline constexpr uint32_t kVersion1_4 = 0x0001'0400;

inline constexpr uint64_t kCapabilityContiguousQueues = uint64_t{1} << 16;
inline constexpr unsigned kCapabilityTimeoutShift = 24;  // In units of 500 ms.
inline constexpr uint64_t kCapabilityNvmCommands = uint64_t{1} << 37;

inline constexpr uint32_t kConfigurationEnable = 1;
inline constexpr uint32_t kConfigurationCommandSet = 7 << 4;
inline constexpr uint32_t kConfigurationPageSize = 0xf << 7;
inline constexpr uint32_t kConfigurationArbitration = 7 << 11;
inline constexpr uint32_t kConfigurationShutdown = 3 << 14;
inline constexpr unsigned kConfigurationSubmissionSizeShift = 16;
inline constexpr unsigned kConfigurationCompletionSizeShift = 20;

inline constexpr uint32_t kStatusReady = 1;
inline constexpr uint32_t kStatusFatal = 2;
inline constexpr uint32_t kStatusShutdownUnderWay = 1 << 2;
inline constexpr uint32_t kStatusShutdownComplete = 2 << 2;

inline constexpr uint64_t kPageSize = 4096;
inline constexpr uint32_t kSubmissionSize = 64, kCompletionSize = 16;
inline constexpr unsigned kSubmissionSizeLog = 6, kCompletionSizeLog = 4;

// Section 4.2
struct Command {
  uint8_t opcode;
  uint8_t flags;  // Bits 1:0 fuse, 7:6 PRP or SGL.
  uint16_t id;
  uint32_t namespace_id;
  uint32_t dword2;
  uint32_t dword3;
  uint64_t metadata;
  uint64_t prp1;
  uint64_t prp2;
  uint32_t dword10;
  uint32_t dword11;
  uint32_t dword12;
  uint32_t dword13;
  uint32_t dword14;
  uint32_t dword15;
};
static_assert(sizeof(Command) == kSubmissionSize);

// Section 4.6
struct Completion {
  uint32_t dword0;
  uint32_t dword1;
  uint16_t submission_head;
  uint16_t submission_queue;
  uint16_t id;
  uint16_t status;  // Bit 0: phase.
};
static_assert(sizeof(Completion) == kCompletionSize);

// Section 4.6.1: status code type in bits 10:8, code in 7:0, do not retry in bit 14.
inline constexpr uint16_t kDoNotRetry = 1 << 14;
inline constexpr uint16_t kSuccess = 0x000;
inline constexpr uint16_t kInvalidOpcode = 0x001 | kDoNotRetry;
inline constexpr uint16_t kInvalidField = 0x002 | kDoNotRetry;
inline constexpr uint16_t kDataTransferError = 0x004 | kDoNotRetry;
inline constexpr uint16_t kInternalError = 0x006;
inline constexpr uint16_t kInvalidNamespace = 0x00b | kDoNotRetry;
inline constexpr uint16_t kCommandSequenceError = 0x00c | kDoNotRetry;
inline constexpr uint16_t kInvalidPrpOffset = 0x013 | kDoNotRetry;
inline constexpr uint16_t kWriteProtected = 0x020 | kDoNotRetry;
inline constexpr uint16_t kBlockOutOfRange = 0x080 | kDoNotRetry;
inline constexpr uint16_t kCapacityExceeded = 0x081 | kDoNotRetry;
inline constexpr uint16_t kCompletionQueueInvalid = 0x100 | kDoNotRetry;
inline constexpr uint16_t kInvalidQueueId = 0x101 | kDoNotRetry;
inline constexpr uint16_t kInvalidQueueSize = 0x102 | kDoNotRetry;
inline constexpr uint16_t kTooManyEventRequests = 0x105 | kDoNotRetry;
inline constexpr uint16_t kInvalidInterruptVector = 0x108 | kDoNotRetry;
inline constexpr uint16_t kInvalidLogPage = 0x109 | kDoNotRetry;
inline constexpr uint16_t kInvalidQueueDeletion = 0x10c | kDoNotRetry;
inline constexpr uint16_t kWriteFault = 0x280;
inline constexpr uint16_t kUnrecoveredReadError = 0x281;
inline constexpr uint16_t kCompareFailure = 0x285 | kDoNotRetry;

// Section 5: admin commands.
inline constexpr uint8_t kDeleteSubmissionQueue = 0x00;
inline constexpr uint8_t kCreateSubmissionQueue = 0x01;
inline constexpr uint8_t kGetLogPage = 0x02;
inline constexpr uint8_t kDeleteCompletionQueue = 0x04;
inline constexpr uint8_t kCreateCompletionQueue = 0x05;
inline constexpr uint8_t kIdentify = 0x06;
inline constexpr uint8_t kAbort = 0x08;
inline constexpr uint8_t kSetFeatures = 0x09;
inline constexpr uint8_t kGetFeatures = 0x0a;
inline constexpr uint8_t kAsynchronousEventRequest = 0x0c;
inline constexpr uint8_t kDoorbellBufferConfig = 0x7c;

inline constexpr uint8_t kCommandUsesSgl = 0xc0;
inline constexpr uint8_t kCommandIsFused = 0x03;

// Section 5.15: what to identify.
inline constexpr uint8_t kIdentifyNamespace = 0x00;
inline constexpr uint8_t kIdentifyController = 0x01;
inline constexpr uint8_t kIdentifyActiveNamespaces = 0x02;
inline constexpr uint8_t kIdentifyDescriptors = 0x03;

// Section 5.14: log pages.
inline constexpr uint8_t kLogErrors = 0x01;
inline constexpr uint8_t kLogHealth = 0x02;
inline constexpr uint8_t kLogFirmware = 0x03;
inline constexpr uint8_t kLogChangedNamespaces = 0x04;
inline constexpr uint8_t kLogEffects = 0x05;
inline constexpr size_t kMostChangedNamespaces = 1024;

// Section 5.21: features.
inline constexpr uint8_t kFeatureArbitration = 0x01;
inline constexpr uint8_t kFeaturePower = 0x02;
inline constexpr uint8_t kFeatureTemperature = 0x04;
inline constexpr uint8_t kFeatureErrorRecovery = 0x05;
inline constexpr uint8_t kFeatureWriteCache = 0x06;
inline constexpr uint8_t kFeatureQueueCount = 0x07;
inline constexpr uint8_t kFeatureInterruptCoalescing = 0x08;
inline constexpr uint8_t kFeatureInterruptVector = 0x09;
inline constexpr uint8_t kFeatureWriteAtomicity = 0x0a;
inline constexpr uint8_t kFeatureEvents = 0x0b;

// Section 5.2: asynchronous events: type, information and log page in dword 0 of the completion.
inline constexpr uint8_t kEventError = 0;
inline constexpr uint8_t kEventInvalidDoorbell = 0;
inline constexpr uint8_t kEventInvalidDoorbellValue = 1;
inline constexpr uint8_t kEventNotice = 2;
inline constexpr uint8_t kEventNamespaceChanged = 0;
inline constexpr uint32_t kEventsOfNamespaces = 1 << 8;  // Whether there are such notices.

// Section 6: NVM commands.
inline constexpr uint8_t kFlush = 0x00;
inline constexpr uint8_t kWrite = 0x01;
inline constexpr uint8_t kRead = 0x02;
inline constexpr uint8_t kCompare = 0x05;
inline constexpr uint8_t kWriteZeroes = 0x08;
inline constexpr uint8_t kDatasetManagement = 0x09;

inline constexpr uint32_t kAllNamespaces = 0xffff'ffff;
inline constexpr uint32_t kForceUnitAccess = 1u << 30;  // Dword 12
inline constexpr uint32_t kDeallocate = 1u << 25;       // Dword 12 of Write Zeroes
inline constexpr uint32_t kRangesDeallocate = 1u << 2;  // Dword 11 of Dataset Management
inline constexpr uint32_t kMostRanges = 256;

struct DatasetRange {
  uint32_t attributes;
  uint32_t block_count;
  uint64_t first_block;
};
static_assert(sizeof(DatasetRange) == 16);

// Figure 247, as far as it is used.
struct [[gnu::packed]] ControllerIdentity {
  uint16_t vendor;
  uint16_t subsystem_vendor;
  char serial[20];
  char model[40];
  char firmware[8];
  uint8_t arbitration_burst;
  uint8_t oui[3];
  uint8_t multi_path;
  uint8_t maximum_transfer;  // 2^n pages.
  uint16_t controller_id;
  uint32_t version;
  uint8_t reserved84[8];
  uint32_t optional_events;  // As kFeatureEvents has them.
  uint8_t reserved96[15];
  uint8_t controller_type;  // 1: I/O
  uint8_t reserved112[144];
  uint16_t optional_admin;  // Bit 8: Doorbell Buffer Config.
  uint8_t abort_limit;      // Less one.
  uint8_t event_limit;      // Less one.
  uint8_t firmware_slots;
  uint8_t log_attributes;
  uint8_t error_entries;  // Less one.
  uint8_t power_states;   // Less one.
  uint8_t vendor_admin;
  uint8_t autonomous_power;
  uint16_t warning_temperature;
  uint16_t critical_temperature;
  uint8_t reserved270[242];
  uint8_t submission_entry_sizes;
  uint8_t completion_entry_sizes;
  uint16_t maximum_outstanding;
  uint32_t namespace_count;
  uint16_t optional_commands;  // Bits 0 compare, 2 dataset management, 3 write zeroes.
  uint16_t fused;
  uint8_t format;
  uint8_t volatile_write_cache;  // Bit 0 present; bits 2:1 = 3: flushes of all namespaces are taken.
  uint8_t reserved526[242];
  char qualified_name[256];
  uint8_t reserved1024[1024];
  uint16_t power0_maximum;  // In units of 10 mW.
  uint8_t reserved2050[2046];
};
static_assert(sizeof(ControllerIdentity) == 4096);
static_assert(offsetof(ControllerIdentity, optional_events) == 92);
static_assert(offsetof(ControllerIdentity, controller_type) == 111);
static_assert(offsetof(ControllerIdentity, optional_admin) == 256);
static_assert(offsetof(ControllerIdentity, warning_temperature) == 266);
static_assert(offsetof(ControllerIdentity, submission_entry_sizes) == 512);
static_assert(offsetof(ControllerIdentity, optional_commands) == 520);
static_assert(offsetof(ControllerIdentity, volatile_write_cache) == 525);
static_assert(offsetof(ControllerIdentity, qualified_name) == 768);

// Figure 245, as far as it is used.
struct [[gnu::packed]] NamespaceIdentity {
  uint64_t size;
  uint64_t capacity;
  uint64_t utilization;
  uint8_t features;  // Bits 0 thin, 4 the optimal sizes below are there.
  uint8_t format_count;
  uint8_t format;
  uint8_t reserved27[37];
  uint16_t write_granularity;  // These five in blocks, less one.
  uint16_t write_alignment;
  uint16_t deallocate_granularity;
  uint16_t deallocate_alignment;
  uint16_t optimal_write;
  uint8_t reserved74[25];
  uint8_t attributes;  // Bit 0: write protected.
  uint8_t reserved100[4];
  uint8_t guid[16];
  uint8_t eui64[8];
  uint32_t formats[16];  // Bits 23:16: 2^n bytes in a block.
  uint8_t reserved192[3904];
};
static_assert(sizeof(NamespaceIdentity) == 4096);
static_assert(offsetof(NamespaceIdentity, write_granularity) == 64);
static_assert(offsetof(NamespaceIdentity, attributes) == 99);
static_assert(offsetof(NamespaceIdentity, formats) == 128);

inline constexpr uint8_t kDescriptorUuid = 3;  // Figure 249

// Figure 196, as far as it is used.
struct [[gnu::packed]] HealthLog {
  uint8_t critical_warning;
  uint16_t temperature;  // In kelvins.
  uint8_t available_spare;
  uint8_t spare_threshold;
  uint8_t percentage_used;
  uint8_t reserved6[26];
  uint64_t data_read[2];  // In units of 1000 times 512 bytes.
  uint64_t data_written[2];
  uint64_t reads[2];
  uint64_t writes[2];
  uint64_t busy_minutes[2];
  uint64_t power_cycles[2];
  uint64_t power_on_hours[2];
  uint64_t unsafe_shutdowns[2];
  uint64_t media_errors[2];
  uint64_t error_entries[2];
  uint8_t reserved192[320];
};
static_assert(sizeof(HealthLog) == 512);

}  // namespace alcove::spec::nvme
