#include "devices/nvme/queues.h"

#include <cstring>

namespace alcove::devices::nvme {

using namespace spec::nvme;

void Doorbell::use(uint64_t shadow, uint64_t event) {
  event_ = event;
  shadow_ = reinterpret_cast<const uint32_t*>(memory_.host_range(shadow, sizeof(uint32_t)));
}

void Doorbell::ask_from(uint32_t value) {
  if (shadow_) {
    const uint64_t address = event_;
    auto* const event = reinterpret_cast<uint32_t*>(memory_.host_range(address, sizeof(uint32_t)));
    __atomic_store_n(event, value, __ATOMIC_RELAXED);
    memory_.mark_written(address, sizeof *event);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

// With mutex_ held. One entry stays empty (section 4.1.2). A head beyond the ring is taken as "nothing read".
uint32_t CompletionQueue::room() const {
  const uint32_t head = doorbell_.value();
  if (head >= ring_.size) return 0;
  const uint32_t used = (tail_ + ring_.size - head) % ring_.size + reserved_;
  return used < ring_.size - 1 ? ring_.size - 1 - used : 0;
}

bool CompletionQueue::reserve() {
  const std::lock_guard lock(mutex_);
  if (room() == 0) {
    full_ = true;
    doorbell_.ask_from(doorbell_.value());
    if (room() == 0) return false;
  }
  ++reserved_;
  return true;
}

void CompletionQueue::cancel() {
  const std::lock_guard lock(mutex_);
  --reserved_;
}

void CompletionQueue::post(Completion completion) {
  const std::lock_guard lock(mutex_);
  --reserved_;
  const uint64_t address = ring_.address + uint64_t{tail_} * sizeof completion;
  std::byte* const entry = memory_.host_range(address, sizeof completion);
  completion.status = static_cast<uint16_t>(completion.status << 1 | phase_);
  // The driver looks at the phase, so that goes last.
  constexpr size_t kLast = offsetof(Completion, id);
  std::memcpy(entry, &completion, kLast);
  uint32_t last;
  std::memcpy(&last, reinterpret_cast<const std::byte*>(&completion) + kLast, sizeof last);
  __atomic_store_n(reinterpret_cast<uint32_t*>(entry + kLast), last, __ATOMIC_RELEASE);
  memory_.mark_written(address, sizeof completion);
  if (++tail_ == ring_.size) {
    tail_ = 0;
    phase_ = !phase_;
  }
}

bool CompletionQueue::is_empty() const {
  const std::lock_guard lock(mutex_);
  return doorbell_.value() == tail_;
}

bool CompletionQueue::ring_doorbell(uint32_t head) {
  if (head >= ring_.size) return false;
  doorbell_.write(head);
  return true;
}

std::optional<Command> SubmissionQueue::pop() {
  if (broken_) return std::nullopt;
  const uint32_t tail = doorbell_.value();
  if (tail >= ring_.size) broken_ = true;
  if (broken_ || tail == head_) return std::nullopt;
  Command command;
  if (!memory_.read(ring_.address + uint64_t{head_} * sizeof command,
                    std::as_writable_bytes(std::span(&command, 1)))) {
    broken_ = true;
    return std::nullopt;
  }
  head_ = (head_ + 1) % ring_.size;
  return command;
}

bool SubmissionQueue::prepare_to_sleep() {
  if (broken_) return true;
  doorbell_.ask_from(head_);
  return doorbell_.value() == head_;
}

}  // namespace alcove::devices::nvme
