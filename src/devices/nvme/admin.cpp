#include "devices/nvme/admin.h"

#include <algorithm>
#include <utility>

#include "devices/nvme/prp.h"

namespace alcove::devices::nvme {

using namespace spec::nvme;

std::optional<Admin::Outcome> Admin::execute(const Command& command) {
  if (command.flags & (kCommandUsesSgl | kCommandIsFused)) return Outcome{kInvalidField};
  switch (command.opcode) {
    case kDeleteSubmissionQueue:
      return delete_submission_queue(command);
    case kCreateSubmissionQueue:
      return create_submission_queue(command);
    case kGetLogPage:
      return get_log_page(command);
    case kDeleteCompletionQueue:
      return delete_completion_queue(command);
    case kCreateCompletionQueue:
      return create_completion_queue(command);
    case kIdentify:
      return identify(command);
    case kAbort:
      return Outcome{kSuccess, 1};  // Not aborted: what a queue has taken is done soon.
    case kSetFeatures:
      return set_feature(command);
    case kGetFeatures:
      return get_feature(command);
    case kAsynchronousEventRequest:
      if (event_requests_.size() == kMostEventRequests) return Outcome{kTooManyEventRequests};
      event_requests_.push_back(command.id);
      return std::nullopt;
    case kDoorbellBufferConfig:
      return configure_doorbells(command);
    default:
      return Outcome{kInvalidOpcode};
  }
}

// Events.

void Admin::add_event(EventType& type, uint8_t information) {
  if (!type.masked && !type.information) type.information = information;
}

void Admin::add_error(uint8_t information) {
  add_event(errors_, information);
}

void Admin::add_namespace_change() {
  const auto enabled = features_.find(kFeatureEvents);
  namespace_changed_ = true;
  if (enabled != features_.end() && enabled->second & kEventsOfNamespaces)
    add_event(notices_, kEventNamespaceChanged);
}

std::optional<Admin::Event> Admin::next_event() {
  EventType& type = errors_.information ? errors_ : notices_;
  if (!type.information || event_requests_.empty()) return std::nullopt;
  type.masked = true;
  const uint32_t dword0 = type.type | uint32_t{*std::exchange(type.information, std::nullopt)} << 8 |
                          uint32_t{type.log_page} << 16;
  const uint16_t id = event_requests_.front();
  event_requests_.pop_front();
  return Event{id, dword0};
}

// Queues.

uint16_t Admin::queue_id(const Command& command) const {
  const auto id = static_cast<uint16_t>(command.dword10);
  return id <= options_.queue_pairs ? id : 0;
}

bool Admin::has_queues() const {
  return std::ranges::any_of(completion_queues_, [](const auto& queue) { return queue != nullptr; });
}

std::expected<Ring, uint16_t> Admin::ring_of(const Command& command, uint32_t entry_size,
                                             bool written) const {
  const uint32_t size = (command.dword10 >> 16) + 1;
  constexpr uint32_t kContiguous = 1;
  if (size < 2 || size > kLargestQueue) return std::unexpected(kInvalidQueueSize);
  if (!(command.dword11 & kContiguous)) return std::unexpected(kInvalidField);
  if (command.prp1 % kPageSize) return std::unexpected(kInvalidPrpOffset);
  const memory::Region* const region = shared_.memory.find(command.prp1, uint64_t{size} * entry_size);
  if (!region || (written && region->read_only)) return std::unexpected(kInvalidField);
  return Ring{.address = command.prp1, .size = size};
}

void Admin::use_shadow(Doorbell& doorbell, unsigned index) const {
  if (shadow_) doorbell.use(shadow_->first + 4 * index, shadow_->second + 4 * index);
}

Admin::Outcome Admin::create_completion_queue(const Command& command) {
  const uint16_t id = queue_id(command);
  if (id == 0 || completion_queues_[id]) return {kInvalidQueueId};
  const auto ring = ring_of(command, kCompletionSize, true);
  if (!ring) return {ring.error()};
  constexpr uint32_t kInterrupts = 2;
  const auto vector = static_cast<uint16_t>(command.dword11 >> 16);
  if ((command.dword11 & kInterrupts) && vector >= vectors_) return {kInvalidInterruptVector};
  auto queue = std::make_shared<CompletionQueue>(
      shared_.memory, *ring, command.dword11 & kInterrupts ? std::optional(vector) : std::nullopt);
  use_shadow(queue->doorbell(), 2 * id + 1);
  const std::lock_guard lock(mutex_);
  completion_queues_[id] = std::move(queue);
  return {kSuccess};
}

Admin::Outcome Admin::create_submission_queue(const Command& command) {
  const uint16_t id = queue_id(command);
  if (id == 0 || submission_queues_[id]) return {kInvalidQueueId};
  const auto completions = static_cast<uint16_t>(command.dword11 >> 16);
  if (completions > options_.queue_pairs) return {kInvalidQueueId};
  if (completions == 0 || !completion_queues_[completions]) return {kCompletionQueueInvalid};
  const auto ring = ring_of(command, kSubmissionSize, false);
  if (!ring) return {ring.error()};
  auto queue = std::make_shared<IoQueue>(shared_, *ring, id, completion_queues_[completions]);
  use_shadow(queue->doorbell(), 2 * id);
  queue->resume();
  const std::lock_guard lock(mutex_);
  submission_queues_[id] = std::move(queue);
  return {kSuccess};
}

Admin::Outcome Admin::delete_completion_queue(const Command& command) {
  const uint16_t id = queue_id(command);
  if (id == 0 || !completion_queues_[id]) return {kInvalidQueueId};
  if (completion_queues_[id]->users > 0) return {kInvalidQueueDeletion};
  std::shared_ptr<CompletionQueue> queue;
  {
    const std::lock_guard lock(mutex_);
    queue = std::exchange(completion_queues_[id], nullptr);
  }
  shared_.forget(*queue);
  return {kSuccess};
}

Admin::Outcome Admin::delete_submission_queue(const Command& command) {
  const uint16_t id = queue_id(command);
  if (id == 0 || !submission_queues_[id]) return {kInvalidQueueId};
  std::shared_ptr<IoQueue> queue;
  {
    const std::lock_guard lock(mutex_);
    queue = std::exchange(submission_queues_[id], nullptr);
  }
  queue.reset();  // Ends its thread, without the lock.
  return {kSuccess};
}

// Doorbells. Each holds the lock, so that the queue lives as long.

std::optional<uint8_t> Admin::ring_submission(uint32_t id, uint32_t tail) {
  const std::lock_guard lock(mutex_);
  if (id > kMostQueuePairs || !submission_queues_[id]) return kEventInvalidDoorbell;
  IoQueue& queue = *submission_queues_[id];
  if (tail >= queue.size()) return kEventInvalidDoorbellValue;
  queue.doorbell().write(tail);
  queue.wake();
  return std::nullopt;
}

std::optional<uint8_t> Admin::ring_completion(uint32_t id, uint32_t head) {
  const std::lock_guard lock(mutex_);
  if (id > kMostQueuePairs || !completion_queues_[id]) return kEventInvalidDoorbell;
  CompletionQueue& completions = *completion_queues_[id];
  if (!completions.ring_doorbell(head)) return kEventInvalidDoorbellValue;
  if (!completions.was_full()) return std::nullopt;
  for (const auto& queue : submission_queues_) {
    if (queue && &queue->completions() == &completions) queue->wake();
  }
  return std::nullopt;
}

// Section 5.7
Admin::Outcome Admin::configure_doorbells(const Command& command) {
  if (command.prp1 % kPageSize || command.prp2 % kPageSize) return {kInvalidPrpOffset};
  const memory::Region* const events = shared_.memory.find(command.prp2, kPageSize);
  if (!shared_.memory.find(command.prp1, kPageSize) || !events || events->read_only) return {kInvalidField};
  shadow_ = {command.prp1, command.prp2};
  for (unsigned id = 1; id <= kMostQueuePairs; ++id) {
    if (completion_queues_[id]) use_shadow(completion_queues_[id]->doorbell(), 2 * id + 1);
    if (!submission_queues_[id]) continue;
    use_shadow(submission_queues_[id]->doorbell(), 2 * id);
    submission_queues_[id]->wake();
  }
  return {kSuccess};
}

// Identification and logs.

Admin::Outcome Admin::identify(const Command& command) {
  uint16_t status = kSuccess;
  const auto page = nvme::identify(static_cast<uint8_t>(command.dword10), command.namespace_id, options_,
                                   shared_.disk, status);
  if (!page) return {status};
  auto data = data_buffer(shared_.memory, command.prp1, command.prp2, page->size(), true);
  if (!data) return {data.error()};
  data->write(shared_.memory, *page);
  return {kSuccess};
}

Admin::Outcome Admin::get_log_page(const Command& command) {
  const auto which = static_cast<uint8_t>(command.dword10);
  const auto log = log_page(which, shared_.statistics, namespace_changed_);
  if (!log) return {kInvalidLogPage};
  if (command.namespace_id != 0 && command.namespace_id != kAllNamespaces) return {kInvalidField};
  const uint64_t size = ((command.dword10 >> 16 | uint64_t{command.dword11 & 0xffff} << 16) + 1) * 4;
  const uint64_t offset = command.dword12 | uint64_t{command.dword13} << 32;
  if (offset % 4 || offset > log->size()) return {kInvalidField};
  // What is asked for behind the page's end is not written.
  const auto part = std::span(*log).subspan(offset, std::min(size, log->size() - offset));
  if (!part.empty()) {
    auto data = data_buffer(shared_.memory, command.prp1, command.prp2, part.size(), true);
    if (!data) return {data.error()};
    data->write(shared_.memory, part);
  }
  constexpr uint32_t kRetainEvent = 1 << 15;
  if (command.dword10 & kRetainEvent) return {kSuccess};
  for (EventType* type : {&errors_, &notices_}) {
    if (which == type->log_page) type->masked = false;
  }
  if (which == kLogChangedNamespaces) namespace_changed_ = false;
  return {kSuccess};
}

// Features.

namespace {

constexpr uint32_t kDefaultTemperature = 343;

}  // namespace

Admin::Outcome Admin::set_feature(const Command& command) {
  const auto feature = static_cast<uint8_t>(command.dword10);
  constexpr uint32_t kSave = 1u << 31;
  if (command.dword10 & kSave) return {kInvalidField};  // Nothing can be saved (ONCS, bit 4).
  const uint32_t value = command.dword11;
  switch (feature) {
    case kFeatureWriteCache:
      if (shared_.disk.is_read_only()) return {kInvalidField};  // There is none.
      shared_.write_cache = (value & 1) != 0;
      return {kSuccess};
    case kFeatureQueueCount: {
      if (has_queues()) return {kCommandSequenceError};
      if ((value & 0xffff) == 0xffff || value >> 16 == 0xffff) return {kInvalidField};
      const uint32_t most = options_.queue_pairs - 1u;
      return {kSuccess, std::min(value & 0xffff, most) | std::min(value >> 16, most) << 16};
    }
    case kFeaturePower:
      if (value & 0x1f) return {kInvalidField};  // State 0 is the only one.
      return {kSuccess};
    case kFeatureInterruptVector:
      if ((value & 0xffff) >= vectors_) return {kInvalidField};
      return {kSuccess};
    case kFeatureArbitration:
    case kFeatureTemperature:
    case kFeatureErrorRecovery:
    case kFeatureInterruptCoalescing:
    case kFeatureWriteAtomicity:
    case kFeatureEvents:
      features_[feature] = value;
      return {kSuccess};
    default:
      return {kInvalidField};
  }
}

Admin::Outcome Admin::get_feature(const Command& command) {
  const auto feature = static_cast<uint8_t>(command.dword10);
  switch (feature) {
    case kFeatureWriteCache:
      if (shared_.disk.is_read_only()) return {kInvalidField};
      return {kSuccess, shared_.write_cache};
    case kFeatureQueueCount:
      return {kSuccess, (options_.queue_pairs - 1u) * 0x10001};
    case kFeaturePower:
      return {kSuccess, 0};
    case kFeatureInterruptVector:
      if ((command.dword11 & 0xffff) >= vectors_) return {kInvalidField};
      return {kSuccess, command.dword11 & 0xffff};
    case kFeatureArbitration:
    case kFeatureTemperature:
    case kFeatureErrorRecovery:
    case kFeatureInterruptCoalescing:
    case kFeatureWriteAtomicity:
    case kFeatureEvents: {
      const auto set = features_.find(feature);
      if (set != features_.end()) return {kSuccess, set->second};
      return {kSuccess, feature == kFeatureTemperature ? kDefaultTemperature : 0};
    }
    default:
      return {kInvalidField};
  }
}

// Life.

void Admin::reset() {
  decltype(submission_queues_) submissions;
  decltype(completion_queues_) completions;
  {
    const std::lock_guard lock(mutex_);
    submissions.swap(submission_queues_);
    completions.swap(completion_queues_);
  }
  submissions = {};  // Ends their threads, without the lock.
  for (const auto& queue : completions)
    if (queue) shared_.forget(*queue);
  features_.clear();
  event_requests_.clear();
  for (EventType* type : {&errors_, &notices_}) {
    type->information.reset();
    type->masked = false;
  }
  namespace_changed_ = false;
  shadow_.reset();
  shared_.write_cache = true;
}

void Admin::pause() {
  for (const auto& queue : submission_queues_) {
    if (queue) queue->pause();
  }
}

void Admin::resume() {
  for (const auto& queue : submission_queues_) {
    if (queue) queue->resume();
  }
}

}  // namespace alcove::devices::nvme
