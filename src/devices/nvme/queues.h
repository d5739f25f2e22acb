// Submission and completion queues (NVM Express 1.4, sections 4.1 and 4.6), as the controller sees them.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "memory/guest_memory.h"
#include "spec/nvme.h"

namespace alcove::devices::nvme {

using Command = spec::nvme::Command;
using Completion = spec::nvme::Completion;

// Where the driver says how far it is: the doorbell register, or the word in memory in its place
// (section 5.7, Doorbell Buffer Config). Any thread.
class Doorbell {
 public:
  explicit Doorbell(memory::GuestMemory& memory) : memory_(memory) {}
  // Addresses of two aligned words in guest memory: the register's stand-in, and what ask_from() tells. For
  // good.
  void use(uint64_t shadow, uint64_t event);
  void write(uint32_t value) { value_.store(value, std::memory_order_release); }
  uint32_t value() const {
    const uint32_t* const shadow = shadow_.load(std::memory_order_relaxed);
    return shadow ? __atomic_load_n(shadow, __ATOMIC_ACQUIRE) : value_.load(std::memory_order_acquire);
  }
  // The driver is to write the register when it goes on from `value`. Look at value() once more after that.
  void ask_from(uint32_t value);

 private:
  memory::GuestMemory& memory_;
  std::atomic<uint32_t> value_ = 0;
  std::atomic<const uint32_t*> shadow_ = nullptr;
  std::atomic<uint64_t> event_ = 0;  // Its address; meaningful if there is a shadow.
};

// A ring in guest memory that lies there wholly.
struct Ring {
  uint64_t address = 0;
  uint32_t size = 0;  // Entries, 2 or more.
};

// Several submission queues may complete here.
class CompletionQueue {
 public:
  CompletionQueue(memory::GuestMemory& memory, Ring ring, std::optional<uint16_t> vector)
      : memory_(memory), ring_(ring), vector_(vector), doorbell_(memory) {}

  // Room for one completion, kept until post() or cancel(). False if there is none: then the next write of
  // the doorbell finds was_full().
  bool reserve();
  bool was_full() { return full_.exchange(false); }
  void cancel();
  void post(Completion completion);
  // Whether the driver has taken all.
  bool is_empty() const;
  // False for a value that no driver in its right mind writes.
  bool ring_doorbell(uint32_t head);

  Doorbell& doorbell() { return doorbell_; }
  std::optional<uint16_t> vector() const { return vector_; }  // None: no interrupts.
  unsigned users = 0;  // Submission queues that complete here; the controller's.

 private:
  uint32_t room() const;

  memory::GuestMemory& memory_;
  const Ring ring_;
  const std::optional<uint16_t> vector_;
  Doorbell doorbell_;
  std::atomic<bool> full_ = false;
  mutable std::mutex mutex_;  // Guards what follows.
  uint32_t tail_ = 0;
  uint32_t reserved_ = 0;
  bool phase_ = true;
};

// Of one thread, but for its doorbell.
class SubmissionQueue {
 public:
  SubmissionQueue(memory::GuestMemory& memory, Ring ring, uint16_t id)
      : memory_(memory), ring_(ring), id_(id), doorbell_(memory) {}

  // The next command, or nothing. After a doorbell value beyond the ring is_broken(), and there is nothing
  // any more.
  std::optional<Command> pop();
  bool has_more() const { return !broken_ && head_ != doorbell_.value(); }
  // Before its thread sleeps: false if there is something to do after all.
  bool prepare_to_sleep();

  bool is_broken() const { return broken_; }
  uint16_t id() const { return id_; }
  uint32_t head() const { return head_; }
  uint32_t size() const { return ring_.size; }
  Doorbell& doorbell() { return doorbell_; }

 private:
  memory::GuestMemory& memory_;
  const Ring ring_;
  const uint16_t id_;
  Doorbell doorbell_;
  uint32_t head_ = 0;
  bool broken_ = false;
};

}  // namespace alcove::devices::nvme
