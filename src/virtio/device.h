// A virtio device as its transport sees it, and the transport as the device sees it (virtio 1.2, section 2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "memory/guest_memory.h"
#include "virtio/queue.h"

namespace alcove::virtio {

// The way back to the guest. Any thread.
class Interrupts {
 public:
  virtual ~Interrupts() = default;
  virtual void queue(
      unsigned index) = 0;           // Used buffers are there; Queue decides whether the guest wants this.
  virtual void configuration() = 0;  // The device's configuration space changed.
  virtual void needs_reset() = 0;    // The driver broke the protocol (section 2.1.1).
};

// What a device works with from DRIVER_OK until it is reset.
struct Activation {
  memory::GuestMemory* memory = nullptr;
  uint64_t features = 0;  // As negotiated.
  // In the device's order. A queue that the driver did not enable is null.
  std::vector<std::unique_ptr<Queue>> queues;
  // One eventfd a queue, readable after the driver's notification; owned by the transport, open until
  // deactivate() has returned.
  std::vector<int> doorbells;
  Interrupts* interrupts = nullptr;
};

// A range of addresses that device and driver share (section 2.10): a window of the guest's memory.
struct SharedMemory {
  uint8_t id = 0;     // The device's own name for it.
  size_t window = 0;  // GuestMemory::windows()
};

// Configuration accesses come from virtual CPU threads; the transport serialises all calls to one device, and
// the device's own threads work between activate() and deactivate().
class Device {
 public:
  virtual ~Device() = default;

  virtual uint16_t device_id() const = 0;  // Virtio 1.2, section 5
  // What the device offers; the transport adds VIRTIO_F_VERSION_1, RING_EVENT_IDX and INDIRECT_DESC.
  virtual uint64_t features() const = 0;
  virtual std::span<const uint16_t> queue_sizes() const = 0;  // Largest size of each queue; powers of two.
  // The size of the device-specific configuration space, and its bytes. Offsets are checked by the transport.
  virtual uint32_t config_size() const = 0;
  virtual void read_config(uint32_t offset, std::span<std::byte> out) = 0;
  virtual void write_config(uint32_t /*offset*/, std::span<const std::byte> /*in*/) {}

  // The same at all times.
  virtual std::optional<SharedMemory> shared_memory() const { return {}; }

  virtual void activate(Activation activation) = 0;
  // Back to the state before activate(): when it returns, no request is in flight and neither memory, queues,
  // doorbells nor interrupts are used again. Does nothing on a device that is not active. Ends a pause as
  // well: a device that the driver activates again serves at once.
  virtual void deactivate() = 0;

  // The machine pauses: when pause() returns, no request is in flight and none is taken until resume() or
  // deactivate(). The transport calls both for active devices only.
  virtual void pause() = 0;
  virtual void resume() = 0;
};

}  // namespace alcove::virtio
