// A guest's virtio driver for tests: legal requests by add(), anything else by the raw members.
//
//   FakeGuest guest;
//   guest.activate(device, features);
//   FakeQueue& queue = guest.queue(0);
//   queue.request({.readable = {header, data}, .writable = {1}});   // add, notify, wait: the used element
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "memory/guest_memory.h"
#include "spec/virtio.h"
#include "virtio/device.h"

namespace alcove::virtio::testing {

using Bytes = std::vector<std::byte>;

template <class T>
  requires(std::is_trivially_copyable_v<T> && !std::is_convertible_v<T, std::string_view>)
Bytes bytes_of(const T& value) {
  const auto view = std::as_bytes(std::span(&value, 1));
  return {view.begin(), view.end()};
}
inline Bytes bytes_of(std::string_view text) {
  const auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}

// Counts what the device told the guest, and lets a test wait for it.
class RecordingInterrupts final : public Interrupts {
 public:
  void queue(unsigned index) override {
    count([&] { ++queues_[index]; });
  }
  void configuration() override {
    count([&] { ++configuration_; });
  }
  void needs_reset() override {
    count([&] { ++needs_reset_; });
  }

  unsigned queue_count(unsigned index) {
    return read([&] { return queues_[index]; });
  }
  unsigned configuration_count() {
    return read([&] { return configuration_; });
  }
  unsigned needs_reset_count() {
    return read([&] { return needs_reset_; });
  }

  // Whether `condition` came true; tried again after each interrupt and every few milliseconds.
  template <class Condition>
  bool wait(Condition condition, std::chrono::milliseconds limit = std::chrono::seconds(10)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, std::chrono::milliseconds(2));
    }
    return true;
  }

 private:
  template <class Change>
  void count(Change change) {
    std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }
  template <class Read>
  unsigned read(Read get) {
    std::lock_guard lock(mutex_);
    return get();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<unsigned, unsigned> queues_;
  unsigned configuration_ = 0;
  unsigned needs_reset_ = 0;
};

// A request as add() builds it: each element becomes one buffer.
struct Request {
  std::vector<Bytes> readable;
  std::vector<uint32_t> writable;  // Sizes.
  bool indirect = false;
};

struct Placed {  // Where add() put it.
  uint16_t head = 0;
  std::vector<uint64_t> readable;
  std::vector<uint64_t> writable;
};

class FakeQueue {
 public:
  FakeQueue(memory::GuestMemory& memory, uint64_t& next_free, uint16_t size, RecordingInterrupts& interrupts)
      : memory_(memory), next_free_(next_free), size_(size), interrupts_(interrupts) {
    addresses_.descriptors = allocate(16 * uint64_t{size});
    addresses_.driver = allocate(spec::virtio::available_ring_size(size));
    addresses_.device = allocate(spec::virtio::used_ring_size(size));
    for (uint16_t i = 0; i < size; ++i) free_.push_back(i);
  }

  uint16_t size() const { return size_; }
  const QueueAddresses& addresses() const { return addresses_; }

  // Raw access to the rings.
  void set_descriptor(uint16_t index, spec::virtio::Descriptor descriptor) {
    set_descriptor_at(addresses_.descriptors, index, descriptor);
  }
  // In two single accesses: tests change descriptors while the device reads them.
  void set_descriptor_at(uint64_t table, uint32_t index, spec::virtio::Descriptor descriptor) {
    const auto halves = std::bit_cast<std::array<uint64_t, 2>>(descriptor);
    store(table + 16 * uint64_t{index}, halves[0]);
    store(table + 16 * uint64_t{index} + 8, halves[1]);
  }
  void set_available_index(uint16_t value) {
    available_ = value;
    store(addresses_.driver + spec::virtio::kRingIndex, value);
  }
  void set_available_flags(uint16_t flags) { store(addresses_.driver + spec::virtio::kRingFlags, flags); }
  void set_used_event(uint16_t value) {
    store(addresses_.driver + spec::virtio::kRingEntries + 2 * uint64_t{size_}, value);
  }
  void set_available_entry(uint16_t slot, uint16_t head) {
    store(addresses_.driver + spec::virtio::kRingEntries + 2 * uint64_t(slot % size_), head);
  }
  void publish(uint16_t head) {
    set_available_entry(available_, head);
    set_available_index(available_ + 1);
  }
  // Whoever sees the index sees what was written before it.
  uint16_t used_index() const {
    const std::byte* index = memory_.host_range(addresses_.device + spec::virtio::kRingIndex, 2);
    return __atomic_load_n(reinterpret_cast<const uint16_t*>(index), __ATOMIC_ACQUIRE);
  }
  uint16_t used_flags() const { return load<uint16_t>(addresses_.device + spec::virtio::kRingFlags); }
  uint16_t available_event() const {
    return load<uint16_t>(addresses_.device + spec::virtio::kRingEntries + 8 * uint64_t{size_});
  }

  // Memory of the fake guest, zeroed; never freed.
  uint64_t allocate(uint64_t size) {
    const uint64_t address = next_free_;
    next_free_ += (size + 63) & ~uint64_t{63};
    return address;
  }
  Bytes bytes(uint64_t address, uint64_t size) const {
    Bytes result(size);
    if (!memory_.read(address, result)) result.clear();
    return result;
  }
  template <class T>
  T load(uint64_t address) const {
    return memory_.load<T>(address).value();
  }
  template <class T>
  void store(uint64_t address, const T& value) {
    if (!memory_.store(address, value)) std::abort();
  }

  // Builds and publishes a legal chain. Needs a free descriptor for each buffer.
  Placed add(const Request& request) {
    Placed placed;
    std::vector<spec::virtio::Descriptor> chain;
    for (const Bytes& data : request.readable) {
      placed.readable.push_back(allocate(data.size()));
      if (!memory_.write(placed.readable.back(), data)) std::abort();
      chain.push_back({placed.readable.back(), static_cast<uint32_t>(data.size()), 0, 0});
    }
    for (uint32_t size : request.writable) {
      placed.writable.push_back(allocate(size));
      chain.push_back({placed.writable.back(), size, spec::virtio::kDescriptorWrite, 0});
    }
    if (request.indirect) {
      const uint64_t table = allocate(16 * chain.size());
      for (size_t i = 0; i < chain.size(); ++i) {
        if (i + 1 < chain.size()) {
          chain[i].flags |= spec::virtio::kDescriptorNext;
          chain[i].next = static_cast<uint16_t>(i + 1);
        }
        set_descriptor_at(table, static_cast<uint16_t>(i), chain[i]);
      }
      chain = {{table, static_cast<uint32_t>(16 * chain.size()), spec::virtio::kDescriptorIndirect, 0}};
    }
    std::vector<uint16_t> indices;
    for (size_t i = 0; i < chain.size(); ++i) {
      if (free_.empty()) std::abort();
      indices.push_back(free_.front());
      free_.pop_front();
    }
    for (size_t i = 0; i < chain.size(); ++i) {
      if (i + 1 < chain.size()) {
        chain[i].flags |= spec::virtio::kDescriptorNext;
        chain[i].next = indices[i + 1];
      }
      set_descriptor(indices[i], chain[i]);
    }
    placed.head = indices[0];
    in_use_[placed.head] = indices;
    publish(placed.head);
    return placed;
  }

  // The next used element, if there is one; frees its descriptors.
  std::optional<spec::virtio::UsedElement> poll() {
    if (used_index() == next_used_) return std::nullopt;
    const auto element = load<spec::virtio::UsedElement>(addresses_.device + spec::virtio::kRingEntries +
                                                         8 * uint64_t(next_used_ % size_));
    ++next_used_;
    if (auto found = in_use_.find(element.id); found != in_use_.end()) {
      for (uint16_t index : found->second) free_.push_back(index);
      in_use_.erase(found);
    }
    return element;
  }
  std::optional<spec::virtio::UsedElement> wait(std::chrono::milliseconds limit = std::chrono::seconds(10)) {
    std::optional<spec::virtio::UsedElement> element;
    set_used_event(next_used_);
    interrupts_.wait([&] { return (element = poll()).has_value(); }, limit);
    return element;
  }

  void set_doorbell(int fd) { doorbell_ = fd; }
  void notify() { eventfd_write(doorbell_, 1); }

  // add(), notify(), wait(): how many bytes the device says it wrote, and the writable part.
  struct Reply {
    uint32_t length = 0;
    std::vector<Bytes> writable;
  };
  std::optional<Reply> request(const Request& what) {
    const Placed placed = add(what);
    notify();
    const auto used = wait();
    if (!used || used->id != placed.head) return std::nullopt;
    Reply reply{.length = used->length};
    for (size_t i = 0; i < placed.writable.size(); ++i) {
      reply.writable.push_back(bytes(placed.writable[i], what.writable[i]));
    }
    return reply;
  }

 private:
  memory::GuestMemory& memory_;
  uint64_t& next_free_;
  uint16_t size_;
  RecordingInterrupts& interrupts_;
  QueueAddresses addresses_;
  uint16_t available_ = 0;
  uint16_t next_used_ = 0;
  int doorbell_ = -1;
  std::deque<uint16_t> free_;
  std::map<uint32_t, std::vector<uint16_t>> in_use_;
};

// Memory, queues, doorbells and interrupts: all of a guest that a device sees.
class FakeGuest {
 public:
  static constexpr uint64_t kMemorySize = 256 << 20;

  FakeGuest() {
    const memory::RegionSpec region{.guest_address = 0, .size = kMemorySize};
    memory_.emplace(memory::GuestMemory::create(std::span(&region, 1)).value());
  }
  ~FakeGuest() { reset(); }
  FakeGuest(const FakeGuest&) = delete;
  FakeGuest& operator=(const FakeGuest&) = delete;

  memory::GuestMemory& memory() { return *memory_; }
  RecordingInterrupts& interrupts() { return interrupts_; }
  FakeQueue& queue(unsigned index) { return *queues_.at(index); }
  size_t queue_count() const { return queues_.size(); }

  // Adds a queue of its own, for tests of Queue without a device.
  FakeQueue& add_queue(uint16_t size) {
    queues_.push_back(std::make_unique<FakeQueue>(*memory_, next_free_, size, interrupts_));
    doorbells_.push_back(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    queues_.back()->set_doorbell(doorbells_.back());
    return *queues_.back();
  }
  std::unique_ptr<Queue> device_queue(unsigned index, bool event_index = false) {
    const FakeQueue& queue = *queues_.at(index);
    return Queue::create(*memory_, queue.size(), queue.addresses(), event_index, index, interrupts_).value();
  }

  // As a transport does at DRIVER_OK: `features` are those negotiated. Each queue has `queue_size` entries,
  // or fewer if the device offers no more; queues not in `enabled` are null. The device must outlive this or
  // the next reset(): declare it before its guest.
  void activate(Device& device, uint64_t features, uint16_t queue_size = 128,
                std::optional<std::vector<unsigned>> enabled = std::nullopt) {
    device_ = &device;
    Activation activation{.memory = &*memory_,
                          .features = features | spec::virtio::kFeatureVersion1,
                          .interrupts = &interrupts_};
    unsigned index = 0;
    for (uint16_t most : device.queue_sizes()) {
      add_queue(std::min(most, queue_size));
      const bool on = !enabled || std::ranges::find(*enabled, index) != enabled->end();
      activation.queues.push_back(on ? device_queue(index, features & spec::virtio::kFeatureEventIndex)
                                     : nullptr);
      activation.doorbells.push_back(doorbells_.back());
      ++index;
    }
    device.activate(std::move(activation));
  }
  void reset() {
    if (device_) device_->deactivate();
    device_ = nullptr;
    for (int fd : doorbells_) close(fd);
    doorbells_.clear();
    queues_.clear();
  }

 private:
  std::optional<memory::GuestMemory> memory_;
  RecordingInterrupts interrupts_;
  uint64_t next_free_ = 0x10000;
  std::vector<std::unique_ptr<FakeQueue>> queues_;
  std::vector<int> doorbells_;
  Device* device_ = nullptr;
};

}  // namespace alcove::virtio::testing
