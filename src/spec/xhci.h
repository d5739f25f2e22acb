// Wire facts of the eXtensible Host Controller Interface (xHCI 1.2): registers (chapter 5), contexts and TRBs
// (chapter 6), extended capabilities (chapter 7). No behaviour.
#pragma once

#include <cstdint>

namespace alcove::spec::xhci {

inline constexpr uint32_t kClassXhci = 0x0C0330;
// The identity given to virtual controllers (the PCI ID repository: "QEMU XHCI Host Controller"), whose
// drivers know no defects of it.
inline constexpr uint16_t kPciVendor = 0x1B36, kPciDevice = 0x000D;

// Capability registers, section 5.3.
inline constexpr uint32_t kCapLength = 0x00, kHcsParams1 = 0x04, kHcsParams2 = 0x08, kHcsParams3 = 0x0C,
                          kHccParams1 = 0x10, kDoorbellOffset = 0x14, kRuntimeOffset = 0x18,
                          kHccParams2 = 0x1C;
inline constexpr uint32_t kVersion = 0x0100;
inline constexpr uint32_t kHcc64Bit = 1u << 0, kHccNoSecondaryStreams = 1u << 7;

// Operational registers, section 5.4.
inline constexpr uint32_t kUsbCommand = 0x00, kUsbStatus = 0x04, kPageSize = 0x08, kDeviceNotification = 0x14,
                          kCommandRing = 0x18, kContextArray = 0x30, kConfigure = 0x38, kPorts = 0x400,
                          kPortSize = 0x10;
inline constexpr uint32_t kCommandRun = 1u << 0, kCommandReset = 1u << 1, kCommandInterrupts = 1u << 2,
                          kCommandSystemErrors = 1u << 3, kCommandWrapEvent = 1u << 10;
inline constexpr uint32_t kStatusHalted = 1u << 0, kStatusSystemError = 1u << 2, kStatusEvent = 1u << 3,
                          kStatusPortChange = 1u << 4, kStatusNotReady = 1u << 11,
                          kStatusControllerError = 1u << 12;
inline constexpr uint64_t kRingCycle = 1u << 0, kRingStop = 1u << 1, kRingAbort = 1u << 2,
                          kRingRunning = 1u << 3;

// PORTSC, section 5.4.8.
inline constexpr uint32_t kPortConnected = 1u << 0, kPortEnabled = 1u << 1, kPortReset = 1u << 4,
                          kPortLinkShift = 5, kPortLinkMask = 0xFu << 5, kPortPower = 1u << 9,
                          kPortSpeedShift = 10, kPortSpeedMask = 0xFu << 10, kPortLinkStrobe = 1u << 16,
                          kPortConnectChange = 1u << 17, kPortEnableChange = 1u << 18,
                          kPortWarmResetChange = 1u << 19, kPortOverCurrentChange = 1u << 20,
                          kPortResetChange = 1u << 21, kPortLinkChange = 1u << 22,
                          kPortConfigError = 1u << 23, kPortWakeBits = 7u << 25, kPortRemovable = 1u << 30,
                          kPortWarmReset = 1u << 31;
inline constexpr uint32_t kPortChangeBits = 0x7Fu << 17;
inline constexpr uint32_t kLinkU0 = 0, kLinkU3 = 3, kLinkDisabled = 4, kLinkRxDetect = 5, kLinkPolling = 7,
                          kLinkResume = 15;
// Section 7.2.2.1.1: the default speed ids.
inline constexpr uint8_t kSpeedHigh = 3, kSpeedSuper = 4;

// Runtime registers, section 5.5.
inline constexpr uint32_t kMicroframeIndex = 0x00, kInterrupterRegisters = 0x20, kInterrupterSize = 0x20;
inline constexpr uint32_t kManagement = 0x00, kModeration = 0x04, kSegmentTableSize = 0x08,
                          kSegmentTable = 0x10, kEventDequeue = 0x18;
inline constexpr uint32_t kInterruptPending = 1, kInterruptEnable = 2;
inline constexpr uint64_t kEventHandlerBusy = 8;

// Extended capabilities, section 7.2.
inline constexpr uint32_t kCapabilityProtocol = 2;
inline constexpr uint32_t kProtocolName = 0x20425355;  // "USB "

struct Trb {
  uint64_t parameter = 0;
  uint32_t status = 0;
  uint32_t control = 0;
};
static_assert(sizeof(Trb) == 16);

inline constexpr uint32_t kTrbCycle = 1u << 0, kTrbToggle = 1u << 1, kTrbShortPacket = 1u << 2,
                          kTrbChain = 1u << 4, kTrbInterrupt = 1u << 5, kTrbImmediate = 1u << 6,
                          kTrbEventData = 1u << 2, kTrbDirectionIn = 1u << 16, kTrbBlockSetAddress = 1u << 9,
                          kTrbDeconfigure = 1u << 9, kTrbPreserve = 1u << 9;
inline constexpr uint32_t kTrbLengthMask = 0x1FFFF;

// Section 6.4.6, table 6-91.
enum class TrbType : uint8_t {
  normal = 1,
  setup_stage = 2,
  data_stage = 3,
  status_stage = 4,
  isochronous = 5,
  link = 6,
  event_data = 7,
  no_op = 8,
  enable_slot = 9,
  disable_slot = 10,
  address_device = 11,
  configure_endpoint = 12,
  evaluate_context = 13,
  reset_endpoint = 14,
  stop_endpoint = 15,
  set_dequeue = 16,
  reset_device = 17,
  no_op_command = 23,
  transfer_event = 32,
  command_completion = 33,
  port_status_change = 34,
  host_controller = 37,
};
inline TrbType type_of(const Trb& trb) {
  return static_cast<TrbType>(trb.control >> 10 & 0x3F);
}
inline constexpr uint32_t type_bits(TrbType type) {
  return static_cast<uint32_t>(type) << 10;
}

// Section 6.4.5, table 6-90.
enum class Completion : uint8_t {
  success = 1,
  trb_error = 5,
  transaction_error = 4,
  stall = 6,
  no_slots = 9,
  invalid_stream_type = 10,
  slot_not_enabled = 11,
  short_packet = 13,
  parameter_error = 17,
  context_state_error = 19,
  command_ring_stopped = 24,
  stopped = 26,
  invalid_stream_id = 34,
};

// Contexts of 32 bytes, section 6.2: eight doublewords.
inline constexpr uint32_t kContextSize = 32;
inline constexpr unsigned kMaximumContext = 31;  // DCI.

// Slot context, table 6-4 to 6-7.
inline constexpr uint32_t kSlotEntriesShift = 27, kSlotPortShift = 16, kSlotStateShift = 27;
enum class SlotState : uint8_t { enabled = 0, default_state = 1, addressed = 2, configured = 3 };

// Endpoint context, tables 6-8 to 6-11.
enum class EndpointState : uint8_t { disabled = 0, running = 1, halted = 2, stopped = 3, error = 4 };
enum class EndpointType : uint8_t {
  invalid = 0,
  isochronous_out = 1,
  bulk_out = 2,
  interrupt_out = 3,
  control = 4,
  isochronous_in = 5,
  bulk_in = 6,
  interrupt_in = 7,
};

// Stream context, table 6-12: two doublewords of a pointer (with the cycle in bit 0, the type in bits 3:1),
// two more.
inline constexpr uint32_t kStreamContextSize = 16;
inline constexpr uint8_t kStreamTypePrimaryRing = 1;

}  // namespace alcove::spec::xhci
