// What a controller is made as.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace alcove::devices::nvme {

struct Options {
  std::string serial;                    // Up to 20 bytes of ASCII.
  std::array<uint8_t, 16> identifier{};  // Of the namespace, a UUID.
  uint16_t queue_pairs = 1;              // For input and output, 1 to kMostQueuePairs; a thread each.
};

// Red Hat leaves the devices 10f0 to 10ff of its vendor id to experiments.
inline constexpr uint16_t kPciVendor = 0x1af4;
inline constexpr uint16_t kPciDevice = 0x10f1;

inline constexpr uint16_t kMostQueuePairs = 16;
inline constexpr uint32_t kLargestQueue = 1024;  // Entries.

inline constexpr unsigned kMostEventRequests = 4;

inline constexpr unsigned kBlockShift = 9;
inline constexpr uint64_t kBlockSize = 1 << kBlockShift;
inline constexpr unsigned kMaximumTransferShift = 8;  // Pages: 1 MiB.
inline constexpr uint64_t kMaximumTransfer = uint64_t{4096} << kMaximumTransferShift;

}  // namespace alcove::devices::nvme
