#include "virtio/queue.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <limits>
#include <utility>

#include "spec/virtio.h"
#include "virtio/device.h"

namespace alcove::virtio {

using spec::virtio::Descriptor;

namespace {

// Where in the slices of one part `offset` lies; calls `use(host, size)` for each piece of at most `size`
// bytes.
template <class Use>
size_t for_each_piece(std::span<const Slice> slices, uint64_t offset, uint64_t size, Use use) {
  uint64_t done = 0;
  for (const Slice& slice : slices) {
    if (done == size) break;
    if (offset >= slice.size) {
      offset -= slice.size;
      continue;
    }
    const uint64_t count = std::min(slice.size - offset, size - done);
    use(slice.host + offset, done, count);
    done += count;
    offset = 0;
  }
  return done;
}

std::vector<iovec> vectors(std::span<const Slice> slices, uint64_t offset, uint64_t size) {
  std::vector<iovec> result;
  for_each_piece(slices, offset, size,
                 [&](std::byte* host, uint64_t, uint64_t count) { result.push_back({host, count}); });
  return result;
}

// The table is shared with the guest: each half is fetched in one access and never looked at again.
Descriptor read_descriptor(const std::byte* table, uint32_t index) {
  const std::byte* entry = table + uint64_t{index} * sizeof(Descriptor);
  uint64_t words[2];
  if (reinterpret_cast<uintptr_t>(entry) % 8 == 0) {
    words[0] = __atomic_load_n(reinterpret_cast<const uint64_t*>(entry), __ATOMIC_RELAXED);
    words[1] = __atomic_load_n(reinterpret_cast<const uint64_t*>(entry + 8), __ATOMIC_RELAXED);
  } else {
    std::memcpy(words, entry, sizeof words);
  }
  return std::bit_cast<Descriptor>(words);
}

// Appends the host memory behind one descriptor, which may run across adjacent regions.
bool append_slices(const memory::GuestMemory& memory, Descriptor descriptor, std::vector<Slice>& slices) {
  const bool writable = descriptor.flags & spec::virtio::kDescriptorWrite;
  uint64_t address = descriptor.address;
  uint32_t left = descriptor.length;
  while (left > 0) {
    const auto place = memory.locate(address);
    if (!place || (writable && place->read_only)) return false;
    const auto count = static_cast<uint32_t>(std::min<uint64_t>(left, place->size));
    slices.push_back({place->host, address, count});
    address += count;
    left -= count;
  }
  return true;
}

}  // namespace

size_t Chain::read(size_t offset, std::span<std::byte> out) const {
  return for_each_piece(readable(), offset, out.size(), [&](std::byte* host, uint64_t done, uint64_t count) {
    std::memcpy(out.data() + done, host, count);
  });
}

size_t Chain::write(size_t offset, std::span<const std::byte> in) {
  return for_each_piece(writable(), offset, in.size(), [&](std::byte* host, uint64_t done, uint64_t count) {
    std::memcpy(host, in.data() + done, count);
  });
}

std::vector<iovec> Chain::readable_vectors(uint64_t offset, uint64_t size) const {
  return vectors(readable(), offset, size);
}

std::vector<iovec> Chain::writable_vectors(uint64_t offset, uint64_t size) const {
  return vectors(writable(), offset, size);
}

Result<std::unique_ptr<Queue>> Queue::create(memory::GuestMemory& memory, uint16_t size,
                                             QueueAddresses addresses, bool event_index, unsigned index,
                                             Interrupts& interrupts) {
  const auto refuse = [&](std::string_view what) {
    return fail(ErrorCode::internal, fmt::format("queue {}", index), std::string(what));
  };
  if (!std::has_single_bit(size) || size > spec::virtio::kMaximumQueueSize) {
    return refuse("its size is no power of two up to 32768");
  }
  if (addresses.descriptors % 16 || addresses.driver % 2 || addresses.device % 4) {
    return refuse("a ring is misaligned");  // Section 2.7, table of alignments.
  }
  std::unique_ptr<Queue> queue(new Queue);
  queue->descriptors_ = memory.host_range(addresses.descriptors, sizeof(Descriptor) * uint64_t{size});
  queue->driver_ = memory.host_range(addresses.driver, spec::virtio::available_ring_size(size));
  const memory::Region* used = memory.find(addresses.device, spec::virtio::used_ring_size(size));
  if (!queue->descriptors_ || !queue->driver_ || !used || used->read_only) {
    return refuse("a ring lies outside the guest's memory");
  }
  queue->device_ = used->host + (addresses.device - used->guest_address);
  queue->memory_ = &memory;
  queue->interrupts_ = &interrupts;
  queue->addresses_ = addresses;
  queue->size_ = size;
  queue->index_ = index;
  queue->event_index_ = event_index;
  return queue;
}

uint16_t Queue::load(const std::byte* ring, uint64_t offset) const {
  return __atomic_load_n(reinterpret_cast<const uint16_t*>(ring + offset), __ATOMIC_ACQUIRE);
}

void Queue::store(uint64_t offset, uint16_t value) {
  __atomic_store_n(reinterpret_cast<uint16_t*>(device_ + offset), value, __ATOMIC_RELEASE);
  memory_->mark_written(addresses_.device + offset, sizeof value);
}

std::expected<std::optional<Chain>, QueueError> Queue::broken(QueueError error) {
  error_ = error;
  return std::unexpected(error);
}

bool Queue::is_empty() const {
  return load(driver_, spec::virtio::kRingIndex) == next_available_;
}

std::expected<std::optional<Chain>, QueueError> Queue::pop() {
  if (error_) return std::unexpected(*error_);
  if (is_empty()) {
    if (!wants_notifications_ || !event_index_) return std::nullopt;
    // The driver notifies when its index passes avail_event, so that must follow us; look again, since it may
    // have read the old value (section 2.7.10).
    set_wants_notifications(true);
    if (is_empty()) return std::nullopt;
  }
  const uint16_t available = load(driver_, spec::virtio::kRingIndex);
  // A driver has `size` descriptors, so it can neither be ahead nor have requests under way by more.
  if (static_cast<uint16_t>(available - next_available_) > size_ || in_flight_ >= size_) {
    return broken(QueueError::available_index);
  }
  const uint64_t slot = next_available_ & (size_ - 1);
  const uint16_t head = load(driver_, spec::virtio::kRingEntries + 2 * slot);
  if (head >= size_) return broken(QueueError::head_index);
  auto chain = read_chain(head);
  if (!chain) return broken(chain.error());
  ++next_available_;
  ++in_flight_;
  return std::optional(std::move(*chain));
}

std::expected<Chain, QueueError> Queue::read_chain(uint16_t head) const {
  Chain chain;
  chain.head_ = head;
  chain.slices_.reserve(4);
  const std::byte* table = descriptors_;
  uint32_t table_length = size_;
  uint32_t index = head;
  bool indirect = false;
  // A chain that visits more entries than its table has runs in circles.
  for (uint32_t visited = 0; visited < table_length;) {
    const Descriptor descriptor = read_descriptor(table, index);
    ++visited;
    if (descriptor.flags & spec::virtio::kDescriptorIndirect) {
      // Section 2.7.5.3.1: not within a table, and nothing after it.
      if (indirect || descriptor.flags & spec::virtio::kDescriptorNext) {
        return std::unexpected(QueueError::descriptor_flags);
      }
      const uint32_t entries = descriptor.length / sizeof(Descriptor);
      table = memory_->host_range(descriptor.address, descriptor.length);
      if (!table || entries == 0 || descriptor.length % sizeof(Descriptor) || entries > kMaximumChainLength) {
        return std::unexpected(QueueError::indirect_table);
      }
      indirect = true;
      table_length = entries;
      index = 0;
      visited = 0;
      continue;
    }
    const bool writable = descriptor.flags & spec::virtio::kDescriptorWrite;
    if (!writable && chain.readable_count_ != chain.slices_.size()) {
      return std::unexpected(QueueError::descriptor_flags);  // Section 2.7.4.2: readable ones come first.
    }
    if (!append_slices(*memory_, descriptor, chain.slices_)) return std::unexpected(QueueError::address);
    (writable ? chain.writable_size_ : chain.readable_size_) += descriptor.length;
    if (!writable) chain.readable_count_ = chain.slices_.size();
    if (chain.readable_size_ + chain.writable_size_ > std::numeric_limits<uint32_t>::max()) {
      return std::unexpected(QueueError::length);  // Section 2.7.4.2: less than 2^32 bytes in all.
    }
    if (!(descriptor.flags & spec::virtio::kDescriptorNext)) return chain;
    if (descriptor.next >= table_length) return std::unexpected(QueueError::descriptor_index);
    index = descriptor.next;
  }
  return std::unexpected(QueueError::descriptor_loop);
}

void Queue::push_hidden(const Chain& chain, uint32_t written) {
  uint64_t left = std::min<uint64_t>(written, chain.writable_size_);
  const spec::virtio::UsedElement element{chain.head_, static_cast<uint32_t>(left)};
  for (const Slice& slice : chain.writable()) {
    if (left == 0) break;
    const uint64_t count = std::min<uint64_t>(slice.size, left);
    memory_->mark_written(slice.guest_address, count);
    left -= count;
  }
  const uint64_t offset = spec::virtio::kRingEntries + sizeof element * uint64_t{next_used_ & (size_ - 1u)};
  std::memcpy(device_ + offset, &element, sizeof element);
  memory_->mark_written(addresses_.device + offset, sizeof element);
  ++next_used_;
  ++unsignalled_;
  --in_flight_;
}

void Queue::push(const Chain& chain, uint32_t written) {
  push_hidden(chain, written);
  store(spec::virtio::kRingIndex, next_used_);  // Releases the buffers and the elements before it.
}

void Queue::notify() {
  const uint32_t since = std::exchange(unsignalled_, 0);
  if (since == 0) return;
  // The index must be visible before the driver's wish is read, or both sides could wait (section 2.7.7.2).
  std::atomic_thread_fence(std::memory_order_seq_cst);
  bool wanted;
  if (event_index_) {
    const uint16_t event = load(driver_, spec::virtio::kRingEntries + 2 * uint64_t{size_});
    wanted = static_cast<uint16_t>(next_used_ - event - 1) < since;
  } else {
    wanted = !(load(driver_, spec::virtio::kRingFlags) & spec::virtio::kAvailableNoInterrupt);
  }
  if (wanted) interrupts_->queue(index_);
}

void Queue::set_wants_notifications(bool wants) {
  wants_notifications_ = wants;
  if (event_index_) {
    // Without a wish avail_event stays behind, where the driver's index passes it only after 65536 requests.
    if (!wants) return;
    store(spec::virtio::kRingEntries + sizeof(spec::virtio::UsedElement) * uint64_t{size_}, next_available_);
  } else {
    store(spec::virtio::kRingFlags, wants ? 0 : spec::virtio::kUsedNoNotify);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace alcove::virtio
