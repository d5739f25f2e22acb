// A split virtqueue, seen from the device (virtio 1.2, section 2.7).
//
// All distrust of the guest's rings lives here: every index, length, flag and address is read once and
// checked; a chain that is handed out lies wholly in guest memory, ends, and has its readable part before its
// writable. What the chain's buffers hold remains hostile.
#pragma once

#include <alcove/error.h>

#include <sys/uio.h>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "memory/guest_memory.h"

namespace alcove::virtio {

class Interrupts;

// Longest indirect table. Section 2.7.5.3.1 forbids chains longer than the queue, but Linux sizes its tables
// by the segments a device takes, not by the queue.
inline constexpr uint32_t kMaximumChainLength = 1024;

// What the driver did wrong with its ring. The device answers with Interrupts::needs_reset() and stops
// serving.
enum class QueueError {
  available_index,
  head_index,
  descriptor_index,
  descriptor_loop,
  descriptor_flags,
  indirect_table,
  address,
  length
};

// One piece of a buffer in host memory, with the guest's address that it stands for.
struct Slice {
  std::byte* host = nullptr;
  uint64_t guest_address = 0;
  uint32_t size = 0;
};

// A request that the driver made available: device-readable bytes, then device-writable bytes. Must be given
// back with Queue::push() exactly once, unless the device is deactivated.
class Chain {
 public:
  // Copies from the readable part at `offset`; returns how many bytes there were, at most out.size().
  size_t read(size_t offset, std::span<std::byte> out) const;
  // Copies to the writable part at `offset`; returns how many bytes fitted.
  size_t write(size_t offset, std::span<const std::byte> in);

  uint64_t readable_size() const { return readable_size_; }
  uint64_t writable_size() const { return writable_size_; }
  std::span<const Slice> readable() const { return {slices_.data(), readable_count_}; }
  std::span<const Slice> writable() const { return std::span(slices_).subspan(readable_count_); }

  // For readv/writev: `size` bytes at `offset` of one part; as much as there is.
  std::vector<iovec> readable_vectors(uint64_t offset, uint64_t size) const;
  std::vector<iovec> writable_vectors(uint64_t offset, uint64_t size) const;

  uint16_t head() const { return head_; }

 private:
  friend class Queue;
  uint16_t head_ = 0;
  size_t readable_count_ = 0;
  uint64_t readable_size_ = 0, writable_size_ = 0;
  std::vector<Slice> slices_;
};

struct QueueAddresses {
  uint64_t descriptors = 0;
  uint64_t driver = 0;  // The available ring.
  uint64_t device = 0;  // The used ring.
};

// Used by one thread at a time.
class Queue {
 public:
  // Fails if a ring does not lie wholly in guest memory or is misaligned, or the size is no power of two up
  // to 32768.
  static Result<std::unique_ptr<Queue>> create(memory::GuestMemory& memory, uint16_t size,
                                               QueueAddresses addresses, bool event_index, unsigned index,
                                               Interrupts& interrupts);

  // The next chain, nothing when the ring is empty, or what the driver did wrong; after an error always that
  // error. No more chains than the queue's size are ever handed out and not yet given back.
  std::expected<std::optional<Chain>, QueueError> pop();

  // Whether pop() would find nothing.
  bool is_empty() const;

  // Gives the chain back with `written` bytes written to its writable part (marks them written in guest
  // memory), without telling the guest; notify() tells it, if it wants to be told.
  void push(const Chain& chain, uint32_t written);
  // As push(), but the driver sees it only together with the next push(): for buffers that belong together.
  void push_hidden(const Chain& chain, uint32_t written);
  void notify();

  // Asks the driver to notify for new buffers (true, as at first), or not to bother (false). After true,
  // pop() must be tried once more: a driver need not notify for what it made available before.
  void set_wants_notifications(bool wants);

  uint16_t size() const { return size_; }

 private:
  Queue() = default;
  uint16_t load(const std::byte* ring, uint64_t offset) const;
  void store(uint64_t offset, uint16_t value);  // In the used ring.
  std::expected<Chain, QueueError> read_chain(uint16_t head) const;
  std::expected<std::optional<Chain>, QueueError> broken(QueueError error);

  memory::GuestMemory* memory_ = nullptr;
  Interrupts* interrupts_ = nullptr;
  QueueAddresses addresses_;
  std::byte* descriptors_ = nullptr;
  std::byte* driver_ = nullptr;
  std::byte* device_ = nullptr;
  uint16_t size_ = 0;
  unsigned index_ = 0;
  bool event_index_ = false;
  bool wants_notifications_ = true;
  uint16_t next_available_ = 0;
  uint16_t next_used_ = 0;
  uint32_t unsignalled_ = 0;  // Chains pushed since the last notify().
  unsigned in_flight_ = 0;
  std::optional<QueueError> error_;
};

}  // namespace alcove::virtio
