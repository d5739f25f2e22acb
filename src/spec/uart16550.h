// Wire facts of the 16550A UART (National Semiconductor PC16550D data sheet, section 8). No behaviour.
#pragma once

#include <cstdint>

namespace alcove::spec::uart16550 {

// Register offsets. With the divisor latch access bit set, 0 and 1 are the divisor's halves.
inline constexpr uint64_t kData = 0;  // Reads: receiver buffer; writes: transmitter holding register.
inline constexpr uint64_t kInterruptEnable = 1;
inline constexpr uint64_t kInterruptIdentification = 2;  // Reads.
inline constexpr uint64_t kFifoControl = 2;              // Writes.
inline constexpr uint64_t kLineControl = 3;
inline constexpr uint64_t kModemControl = 4;
inline constexpr uint64_t kLineStatus = 5;
inline constexpr uint64_t kModemStatus = 6;
inline constexpr uint64_t kScratch = 7;
inline constexpr uint64_t kRegisters = 8;

inline constexpr uint8_t kEnableReceived = 0x01;
inline constexpr uint8_t kEnableTransmitterEmpty = 0x02;
inline constexpr uint8_t kEnableLineStatus = 0x04;
inline constexpr uint8_t kEnableModemStatus = 0x08;

// Interrupt identification, highest priority first.
inline constexpr uint8_t kIdLineStatus = 0x06;
inline constexpr uint8_t kIdReceived = 0x04;
inline constexpr uint8_t kIdReceiveTimeout = 0x0c;
inline constexpr uint8_t kIdTransmitterEmpty = 0x02;
inline constexpr uint8_t kIdModemStatus = 0x00;
inline constexpr uint8_t kIdNone = 0x01;
inline constexpr uint8_t kIdFifosEnabled = 0xc0;

inline constexpr uint8_t kFifoEnable = 0x01;
inline constexpr uint8_t kFifoClearReceiver = 0x02;
inline constexpr uint8_t kFifoClearTransmitter = 0x04;
inline constexpr unsigned kFifoTriggerShift = 6;
inline constexpr unsigned kFifoSize = 16;

inline constexpr uint8_t kLineDivisorAccess = 0x80;

inline constexpr uint8_t kModemDataTerminalReady = 0x01;
inline constexpr uint8_t kModemRequestToSend = 0x02;
inline constexpr uint8_t kModemOut1 = 0x04;
inline constexpr uint8_t kModemOut2 = 0x08;  // On a PC: lets the interrupt through.
inline constexpr uint8_t kModemLoopback = 0x10;

inline constexpr uint8_t kStatusDataReady = 0x01;
inline constexpr uint8_t kStatusOverrun = 0x02;
inline constexpr uint8_t kStatusHoldingEmpty = 0x20;
inline constexpr uint8_t kStatusTransmitterEmpty = 0x40;

inline constexpr uint8_t kDeltaClearToSend = 0x01;
inline constexpr uint8_t kDeltaDataSetReady = 0x02;
inline constexpr uint8_t kTrailingEdgeRing = 0x04;
inline constexpr uint8_t kDeltaCarrierDetect = 0x08;
inline constexpr uint8_t kClearToSend = 0x10;
inline constexpr uint8_t kDataSetReady = 0x20;
inline constexpr uint8_t kRing = 0x40;
inline constexpr uint8_t kCarrierDetect = 0x80;

}  // namespace alcove::spec::uart16550
