// Wire facts of the virtio file system device (virtio 1.2, section 5.11). No behaviour.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::spec::virtio_fs {

inline constexpr size_t kTagSize = 36;  // Bytes of UTF-8, padded with zeroes.

// Section 5.11.2: queues without the notification queue are one for what must not wait, then those for
// requests.
inline constexpr unsigned kUrgentQueue = 0;
inline constexpr unsigned kFirstRequestQueue = 1;

// Section 5.11.6.2: the shared memory that files are mapped in.
inline constexpr uint8_t kDaxWindow = 0;

// Section 5.11.4
struct Configuration {
  char tag[kTagSize];
  uint32_t request_queue_count;
};
static_assert(sizeof(Configuration) == 40);

}  // namespace alcove::spec::virtio_fs
