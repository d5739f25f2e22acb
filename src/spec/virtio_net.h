// Wire facts of the virtio network device (virtio 1.2, section 5.1). No behaviour.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::spec::virtio_net {

inline constexpr uint64_t kFeatureChecksum = uint64_t{1} << 0;
inline constexpr uint64_t kFeatureGuestChecksum = uint64_t{1} << 1;
inline constexpr uint64_t kFeatureMtu = uint64_t{1} << 3;
inline constexpr uint64_t kFeatureMac = uint64_t{1} << 5;
inline constexpr uint64_t kFeatureGuestTso4 = uint64_t{1} << 7;
inline constexpr uint64_t kFeatureHostTso4 = uint64_t{1} << 11;
inline constexpr uint64_t kFeatureMergeableBuffers = uint64_t{1} << 15;
inline constexpr uint64_t kFeatureStatus = uint64_t{1} << 16;
inline constexpr uint64_t kFeatureControlQueue = uint64_t{1} << 17;
inline constexpr uint64_t kFeatureControlReceive = uint64_t{1} << 18;
inline constexpr uint64_t kFeatureControlReceiveExtra = uint64_t{1} << 20;
inline constexpr uint64_t kFeatureControlMac = uint64_t{1} << 23;

// Section 5.1.4
inline constexpr uint16_t kStatusLinkUp = 1;
struct Configuration {
  uint8_t mac[6];
  uint16_t status;
  uint16_t maximum_queue_pairs;
  uint16_t mtu;
};
static_assert(sizeof(Configuration) == 12);

// Section 5.1.6: before each frame.
inline constexpr uint8_t kNeedsChecksum = 1;
inline constexpr uint8_t kDataValid = 2;
inline constexpr uint8_t kSegmentNone = 0;
inline constexpr uint8_t kSegmentTcp4 = 1;
inline constexpr size_t kBufferCountOffset = 10;
struct Header {
  uint8_t flags;
  uint8_t segment_type;
  uint16_t header_length;
  uint16_t segment_size;
  uint16_t checksum_start;
  uint16_t checksum_offset;
  uint16_t buffer_count;
};
static_assert(sizeof(Header) == 12);

// Section 5.1.6.5
inline constexpr uint8_t kAcknowledged = 0;
inline constexpr uint8_t kRefused = 1;
inline constexpr uint8_t kClassReceive = 0;
inline constexpr uint8_t kReceivePromiscuous = 0;
inline constexpr uint8_t kReceiveAllMulticast = 1;
inline constexpr uint8_t kReceiveAllUnicast = 2;
inline constexpr uint8_t kReceiveNoMulticast = 3;
inline constexpr uint8_t kReceiveNoUnicast = 4;
inline constexpr uint8_t kReceiveNoBroadcast = 5;
inline constexpr uint8_t kClassMac = 1;
inline constexpr uint8_t kMacTableSet = 0;
inline constexpr uint8_t kMacAddressSet = 1;

}  // namespace alcove::spec::virtio_net
