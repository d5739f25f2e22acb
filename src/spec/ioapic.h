// The I/O APIC's registers (Intel 82093AA datasheet, 3.0) and interrupt messages (Intel SDM vol. 3, 11.11).
#pragma once

#include <cstdint>

namespace alcove::spec::ioapic {

// Memory-mapped, relative to the chip's base.
inline constexpr uint64_t kSelect = 0x00;
inline constexpr uint64_t kWindow = 0x10;
inline constexpr uint64_t kEoi = 0x40;  // Version 0x20 and later.
inline constexpr uint64_t kSize = 0x1000;

// Through kSelect and kWindow.
inline constexpr uint8_t kId = 0x00;
inline constexpr uint8_t kVersion = 0x01;
inline constexpr uint8_t kArbitration = 0x02;
inline constexpr uint8_t kRedirection = 0x10;  // Two registers a pin.

// A redirection entry.
inline constexpr uint64_t kVectorMask = 0xff;
inline constexpr unsigned kDeliveryModeShift = 8;
inline constexpr uint64_t kDeliveryModeMask = 7;
inline constexpr uint64_t kLogicalDestination = 1u << 11;
inline constexpr uint64_t kDeliveryStatus = 1u << 12;
inline constexpr uint64_t kActiveLow = 1u << 13;
inline constexpr uint64_t kRemoteIrr = 1u << 14;
inline constexpr uint64_t kLevelTriggered = 1u << 15;
inline constexpr uint64_t kMasked = 1u << 16;
inline constexpr unsigned kDestinationShift = 56;

inline constexpr unsigned kFixed = 0;
inline constexpr unsigned kLowestPriority = 1;

// The message that reaches the processors.
inline constexpr uint64_t kMessageBase = 0xfee00000;
inline constexpr unsigned kMessageDestinationShift = 12;
inline constexpr uint64_t kMessageRedirectionHint = 1u << 3;
inline constexpr uint64_t kMessageLogical = 1u << 2;
inline constexpr uint32_t kMessageAssert = 1u << 14;
inline constexpr uint32_t kMessageLevel = 1u << 15;

}  // namespace alcove::spec::ioapic
