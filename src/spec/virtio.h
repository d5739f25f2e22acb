// Wire facts of virtio 1.2 common to all devices: status, features, split rings. No behaviour.
#pragma once

#include <bit>
#include <cstdint>

namespace alcove::spec::virtio {

static_assert(std::endian::native == std::endian::little, "ring fields are read and written as they stand");

// Device types, section 5.
inline constexpr uint16_t kNetworkDevice = 1;
inline constexpr uint16_t kBlockDevice = 2;
inline constexpr uint16_t kConsoleDevice = 3;
inline constexpr uint16_t kEntropyDevice = 4;
inline constexpr uint16_t kBalloonDevice = 5;
inline constexpr uint16_t kGpuDevice = 16;
inline constexpr uint16_t kInputDevice = 18;
inline constexpr uint16_t kSocketDevice = 19;
inline constexpr uint16_t kSoundDevice = 25;
inline constexpr uint16_t kFileSystemDevice = 26;

// Device status, section 2.1.
inline constexpr uint8_t kStatusAcknowledge = 1;
inline constexpr uint8_t kStatusDriver = 2;
inline constexpr uint8_t kStatusDriverOk = 4;
inline constexpr uint8_t kStatusFeaturesOk = 8;
inline constexpr uint8_t kStatusNeedsReset = 64;
inline constexpr uint8_t kStatusFailed = 128;

// Features of no particular device, section 6.
inline constexpr uint64_t kFeatureIndirectDescriptors = uint64_t{1} << 28;
inline constexpr uint64_t kFeatureEventIndex = uint64_t{1} << 29;
inline constexpr uint64_t kFeatureVersion1 = uint64_t{1} << 32;
inline constexpr uint64_t kFeatureAccessPlatform = uint64_t{1} << 33;
inline constexpr uint64_t kFeatureRingReset = uint64_t{1} << 40;

// Section 2.7.5, descriptor table.
inline constexpr uint16_t kDescriptorNext = 1;
inline constexpr uint16_t kDescriptorWrite = 2;
inline constexpr uint16_t kDescriptorIndirect = 4;

struct Descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};
static_assert(sizeof(Descriptor) == 16);

inline constexpr uint16_t kMaximumQueueSize = 32768;  // Section 2.7

// Section 2.7.6, available ring: flags, index, ring[size], used_event.
inline constexpr uint16_t kAvailableNoInterrupt = 1;
inline constexpr uint64_t available_ring_size(uint16_t queue_size) {
  return 6 + 2 * uint64_t{queue_size};
}

// Section 2.7.8, used ring: flags, index, ring[size], avail_event.
inline constexpr uint16_t kUsedNoNotify = 1;
struct UsedElement {
  uint32_t id;
  uint32_t length;
};
static_assert(sizeof(UsedElement) == 8);
inline constexpr uint64_t used_ring_size(uint16_t queue_size) {
  return 6 + 8 * uint64_t{queue_size};
}

// Offsets within both rings.
inline constexpr uint64_t kRingFlags = 0;
inline constexpr uint64_t kRingIndex = 2;
inline constexpr uint64_t kRingEntries = 4;

}  // namespace alcove::spec::virtio
