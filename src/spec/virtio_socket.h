// Wire facts of the virtio socket device (virtio 1.2, section 5.10). No behaviour.
#pragma once

#include <cstdint>

namespace alcove::spec::virtio_socket {

// Section 5.10.2
inline constexpr unsigned kReceiveQueue = 0;
inline constexpr unsigned kTransmitQueue = 1;
inline constexpr unsigned kEventQueue = 2;
inline constexpr unsigned kQueueCount = 3;

// Section 5.10.4.1; those below are reserved, as is the largest.
inline constexpr uint64_t kHostCid = 2;
inline constexpr uint64_t kFirstGuestCid = 3;
inline constexpr uint64_t kLastGuestCid = 0xfffffffe;

// Linux means "any" by it.
inline constexpr uint32_t kNoPort = 0xffffffff;

// Section 5.10.4
struct Configuration {
  uint64_t guest_cid;
};
static_assert(sizeof(Configuration) == 8);

// Section 5.10.6
struct [[gnu::packed]] Header {
  uint64_t source_cid;
  uint64_t destination_cid;
  uint32_t source_port;
  uint32_t destination_port;
  uint32_t length;  // Of what follows.
  uint16_t type;
  uint16_t operation;
  uint32_t flags;
  uint32_t buffer_size;  // What the sender of this packet can keep for the connection: buf_alloc.
  uint32_t forwarded;    // What it has taken out of that so far, modulo 2^32: fwd_cnt.
};
static_assert(sizeof(Header) == 44);

inline constexpr uint16_t kTypeStream = 1;

enum class Operation : uint16_t {
  invalid = 0,
  request = 1,
  response = 2,
  reset = 3,
  shutdown = 4,
  data = 5,
  credit_update = 6,
  credit_request = 7,
};

// Section 5.10.6.5, flags of `shutdown`: what its sender will not do any more.
inline constexpr uint32_t kShutdownReceive = 1;
inline constexpr uint32_t kShutdownSend = 2;
inline constexpr uint32_t kShutdownBoth = kShutdownReceive | kShutdownSend;

}  // namespace alcove::spec::virtio_socket
