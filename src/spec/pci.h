// Wire facts of PCI: the configuration header (PCI Local Bus 3.0, section 6.1 and appendix H), access
// mechanisms and MSI-X (section 6.8.2). No behaviour.
#pragma once

#include <cstdint>

namespace alcove::spec::pci {

inline constexpr unsigned kDevicesPerBus = 32;
inline constexpr unsigned kFunctionsPerDevice = 8;
inline constexpr uint32_t kConfigurationSize = 256;
inline constexpr uint32_t kExtendedConfigurationSize = 4096;  // PCI Express Base, section 7.2.2

// Mechanism #1 (PCI Local Bus 3.0, section 3.2.2.3.2).
inline constexpr uint16_t kAddressPort = 0xCF8;
inline constexpr uint16_t kDataPort = 0xCFC;
inline constexpr uint32_t kAddressEnable = 0x8000'0000;

// Header, type 0.
inline constexpr uint16_t kVendorId = 0x00;
inline constexpr uint16_t kDeviceId = 0x02;
inline constexpr uint16_t kCommand = 0x04;
inline constexpr uint16_t kStatus = 0x06;
inline constexpr uint16_t kRevision = 0x08;
inline constexpr uint16_t kClassCode = 0x09;  // 24 bits
inline constexpr uint16_t kCacheLineSize = 0x0C;
inline constexpr uint16_t kLatencyTimer = 0x0D;
inline constexpr uint16_t kHeaderType = 0x0E;
inline constexpr uint16_t kBar0 = 0x10;
inline constexpr uint16_t kSubsystemVendorId = 0x2C;
inline constexpr uint16_t kSubsystemId = 0x2E;
inline constexpr uint16_t kCapabilities = 0x34;
inline constexpr uint16_t kInterruptLine = 0x3C;
inline constexpr uint16_t kInterruptPin = 0x3D;
inline constexpr uint16_t kHeaderEnd = 0x40;

inline constexpr unsigned kBarCount = 6;

inline constexpr uint16_t kCommandPorts = 0x0001;
inline constexpr uint16_t kCommandMemory = 0x0002;
inline constexpr uint16_t kCommandBusMaster = 0x0004;
inline constexpr uint16_t kCommandParity = 0x0040;
inline constexpr uint16_t kCommandSystemError = 0x0100;
inline constexpr uint16_t kCommandInterruptDisable = 0x0400;

inline constexpr uint16_t kStatusInterrupt = 0x0008;
inline constexpr uint16_t kStatusCapabilities = 0x0010;

inline constexpr uint32_t kBar64Bit = 0x4;
inline constexpr uint32_t kBarPrefetchable = 0x8;

inline constexpr uint8_t kCapabilityVendor = 0x09;
inline constexpr uint8_t kCapabilityMsix = 0x11;

// MSI-X capability and table.
inline constexpr uint16_t kMsixControl = 2;  // Within the capability.
inline constexpr uint16_t kMsixEnable = 0x8000;
inline constexpr uint16_t kMsixFunctionMask = 0x4000;
inline constexpr uint32_t kMsixEntrySize = 16;
inline constexpr uint32_t kMsixEntryMasked = 1;
inline constexpr unsigned kMsixMaximumVectors = 2048;

// Class codes (appendix D): base class, sub-class, interface.
inline constexpr uint32_t kClassHostBridge = 0x060000;
inline constexpr uint32_t kClassIsaBridge = 0x060100;
inline constexpr uint32_t kClassMassStorage = 0x018000;
inline constexpr uint32_t kClassEthernet = 0x020000;
inline constexpr uint32_t kClassDisplay = 0x038000;
inline constexpr uint32_t kClassMultimedia = 0x048000;
inline constexpr uint32_t kClassCommunication = 0x078000;
inline constexpr uint32_t kClassInput = 0x098000;
inline constexpr uint32_t kClassUnclassified = 0x00FF00;

}  // namespace alcove::spec::pci
