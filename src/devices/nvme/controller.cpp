#include "devices/nvme/controller.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "spec/pci.h"

namespace alcove::devices::nvme {

using namespace spec::nvme;

namespace {

constexpr uint64_t kTimeout = 20;  // 10 s, in units of 500 ms: a reset waits for what is in flight.

Options checked(Options options) {
  options.queue_pairs = std::clamp<uint16_t>(options.queue_pairs, 1, kMostQueuePairs);
  return options;
}

}  // namespace

Controller::Controller(std::unique_ptr<storage::Disk> disk, const Options& options,
                       memory::GuestMemory& memory, bus::MessageSink& messages)
    : Function({.vendor = kPciVendor,
                .device = kPciDevice,
                .class_code = kClass,
                .subsystem_vendor = kPciVendor,
                .subsystem = kPciDevice}),
      options_(checked(options)),
      disk_(std::move(disk)),
      memory_(memory),
      // One vector for the admin queue and one for each other.
      msix_(options_.queue_pairs + 1u, messages),
      shared_{.memory = memory,
              .disk = *disk_,
              .signal = [this](CompletionQueue& queue) { signal(queue); },
              .forget = [this](const CompletionQueue& queue) { forget(queue); },
              .doorbell_was_wrong = [this] { note_wrong_doorbell(kEventInvalidDoorbellValue); }},
      admin_(shared_, options_, msix_.count()),
      doorbell_event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_("nvme admin") {
  add_memory_bar(0, kBarSize, true);
  use_interrupt_pin(1);
  msix_capability_ =
      add_capability(spec::pci::kCapabilityMsix, msix_.capability(0, kTableOffset, kPendingOffset),
                     pci::Msix::capability_writable());
  thread_.loop().call(
      [this] { thread_.loop().watch(doorbell_event_.get(), EPOLLIN, [this](uint32_t) { run_admin(); }); });
}

Controller::~Controller() {
  const std::lock_guard lock(mutex_);
  disable();
}

void Controller::reset() {
  {
    const std::lock_guard lock(mutex_);
    disable();
    registers_ = {};
    status_ = 0;
    thread_.loop().call([this] { paused_ = false; });
  }
  {
    const std::lock_guard lock(interrupt_mutex_);
    pin_masked_ = false;
  }
  msix_.reset();
  Function::reset();
}

void Controller::pause() {
  interrupted_ = true;
  thread_.loop().call([this] {
    paused_ = true;
    admin_.pause();
  });
  interrupted_ = false;
}

void Controller::resume() {
  thread_.loop().call([this] {
    if (!std::exchange(paused_, false)) return;
    admin_.resume();
    wake();
  });
}

void Controller::wake() const {
  eventfd_write(doorbell_event_.get(), 1);
}

// Registers.

uint64_t Controller::register_value(uint64_t offset) const {
  switch (offset) {
    case kCapabilities:
      return (kLargestQueue - 1) | kCapabilityContiguousQueues | kTimeout << kCapabilityTimeoutShift |
             kCapabilityNvmCommands;
    case kVersion:
      return kVersion1_4;
    case kInterruptMaskSet:
    case kInterruptMaskClear:
      return registers_.interrupt_mask;
    case kConfiguration:
      return registers_.configuration;
    case kStatus:
      return status_;
    case kAdminQueueAttributes:
      return registers_.admin_attributes;
    case kAdminSubmissionQueue:
      return registers_.admin_submission;
    case kAdminCompletionQueue:
      return registers_.admin_completion;
    default:
      return 0;
  }
}

bus::Access Controller::read_bar(unsigned, uint64_t offset, std::span<std::byte> data) {
  if (offset >= kPendingOffset) return msix_.read_pending(offset - kPendingOffset, data);
  if (offset >= kTableOffset) return msix_.read_table(offset - kTableOffset, data);
  const uint64_t within = offset % 8;
  if (within + data.size() > 8) return bus::Access::bad_size;
  uint64_t value = 0;
  if (offset < kDoorbells) {  // Doorbells read as zero (section 3.1.24).
    const std::lock_guard lock(mutex_);
    const uint64_t base = offset - within;
    value = register_value(base);
    const bool is_wide =
        base == kCapabilities || base == kAdminSubmissionQueue || base == kAdminCompletionQueue;
    if (!is_wide) value = (value & 0xffff'ffff) | register_value(base + 4) << 32;
  }
  value >>= 8 * within;
  std::memcpy(data.data(), &value, data.size());
  return bus::Access::done;
}

bus::Access Controller::write_bar(unsigned, uint64_t offset, std::span<const std::byte> data) {
  if (offset >= kPendingOffset) return bus::Access::no_register;
  if (offset >= kTableOffset) return msix_.write_table(offset - kTableOffset, data);
  if (offset % 4 || (data.size() != 4 && data.size() != 8)) return bus::Access::bad_size;
  for (size_t at = 0; at < data.size(); at += 4) {
    uint32_t value;
    std::memcpy(&value, data.data() + at, sizeof value);
    if (offset + at >= kDoorbells) {
      write_doorbell(offset + at, value);
    } else {
      write_register(offset + at, value);
    }
  }
  return bus::Access::done;
}

void Controller::write_register(uint64_t offset, uint32_t value) {
  const std::lock_guard lock(mutex_);
  const auto set_half = [&](uint64_t& whole, bool high) {
    whole = high ? (whole & 0xffff'ffff) | uint64_t{value} << 32 : (whole & ~uint64_t{0xffff'ffff}) | value;
  };
  switch (offset) {
    case kInterruptMaskSet:
    case kInterruptMaskClear: {
      uint32_t& mask = registers_.interrupt_mask;
      mask = offset == kInterruptMaskSet ? mask | value : mask & ~value;
      const std::lock_guard interrupt_lock(interrupt_mutex_);
      pin_masked_ = (mask & 1) != 0;  // The pin is vector 0.
      return drive_interrupt();
    }
    case kConfiguration:
      return configure(value);
    case kAdminQueueAttributes:
      registers_.admin_attributes = value & 0x0fff'0fff;
      return;
    case kAdminSubmissionQueue:
    case kAdminSubmissionQueue + 4:
      return set_half(registers_.admin_submission, offset != kAdminSubmissionQueue);
    case kAdminCompletionQueue:
    case kAdminCompletionQueue + 4:
      return set_half(registers_.admin_completion, offset != kAdminCompletionQueue);
    default:
      return;
  }
}

// Section 3.1.5
void Controller::configure(uint32_t value) {
  const uint32_t before = std::exchange(registers_.configuration, value);
  const bool was_enabled = before & kConfigurationEnable;
  const bool is_enabled = value & kConfigurationEnable;
  if (was_enabled && !is_enabled) {
    disable();
    status_ = 0;
    registers_.interrupt_mask = 0;
    return;
  }
  if (!was_enabled && is_enabled) status_ = enable() ? kStatusReady : kStatusFatal;
  if ((value & kConfigurationShutdown) && !(before & kConfigurationShutdown)) {
    status_ |= kStatusShutdownUnderWay;
    thread_.loop().post([this] {
      // What is in flight need not be waited for: the driver has done so (section 7.6.2).
      if (!disk_->is_read_only()) (void)disk_->flush();
      uint32_t now = status_;
      while ((now & kStatusShutdownUnderWay) &&
             !status_.compare_exchange_weak(now, now ^ (kStatusShutdownUnderWay | kStatusShutdownComplete))) {
      }
    });
  }
}

// Tells whether the driver asks for what there is.
bool Controller::enable() {
  const uint32_t wanted = registers_.configuration;
  constexpr uint32_t kMustBeZero =
      kConfigurationCommandSet | kConfigurationPageSize | kConfigurationArbitration;
  const uint32_t submission_log = wanted >> kConfigurationSubmissionSizeShift & 0xf;
  const uint32_t completion_log = wanted >> kConfigurationCompletionSizeShift & 0xf;
  if (wanted & kMustBeZero) return false;
  if (submission_log != kSubmissionSizeLog || completion_log != kCompletionSizeLog) return false;
  const Ring submissions{registers_.admin_submission & ~(kPageSize - 1),
                         (registers_.admin_attributes & 0xfff) + 1};
  const Ring completions{registers_.admin_completion & ~(kPageSize - 1),
                         (registers_.admin_attributes >> 16 & 0xfff) + 1};
  const memory::Region* const written =
      memory_.find(completions.address, uint64_t{completions.size} * kCompletionSize);
  if (submissions.size < 2 || completions.size < 2 || !written || written->read_only ||
      !memory_.find(submissions.address, uint64_t{submissions.size} * kSubmissionSize)) {
    return false;
  }
  thread_.loop().call([&] {
    const std::lock_guard lock(admin_queue_mutex_);
    admin_submissions_ = std::make_shared<SubmissionQueue>(memory_, submissions, 0);
    admin_completions_ = std::make_shared<CompletionQueue>(memory_, completions, 0);
  });
  return true;
}

void Controller::disable() {
  interrupted_ = true;
  thread_.loop().call([this] {
    admin_.reset();
    // A processor may be about to look at what waits for it.
    if (admin_completions_) forget(*admin_completions_);
    const std::lock_guard lock(admin_queue_mutex_);
    admin_submissions_.reset();
    admin_completions_.reset();
    wrong_doorbells_ = 0;
  });
  interrupted_ = false;
  const std::lock_guard lock(interrupt_mutex_);
  pending_.clear();
  drive_interrupt();
}

void Controller::after_configuration_write(uint16_t offset, size_t size) {
  const unsigned control = msix_capability_ + spec::pci::kMsixControl;
  if (offset < control + 2 && control < offset + size) {
    msix_.set_control(static_cast<uint16_t>(get(static_cast<uint16_t>(control), 2)));
  }
}

// Doorbells.

void Controller::write_doorbell(uint64_t offset, uint32_t value) {
  const auto index = static_cast<uint32_t>(offset - kDoorbells) / 4;
  const uint32_t id = index / 2;
  const bool is_completion = index % 2;
  std::optional<uint8_t> wrong;
  if (id == 0) {
    const std::lock_guard lock(admin_queue_mutex_);
    if (!admin_submissions_) return;
    const bool fits =
        is_completion ? admin_completions_->ring_doorbell(value) : value < admin_submissions_->size();
    if (fits && !is_completion) admin_submissions_->doorbell().write(value);
    if (!fits) wrong = kEventInvalidDoorbellValue;
    wake();
  } else {
    wrong = is_completion ? admin_.ring_completion(id, value) : admin_.ring_submission(id, value);
  }
  if (wrong) return note_wrong_doorbell(*wrong);
  if (!is_completion) return;
  const std::lock_guard lock(interrupt_mutex_);
  if (pending_.empty()) return;
  std::erase_if(pending_, [](const CompletionQueue* queue) { return queue->is_empty(); });
  drive_interrupt();
}

void Controller::note_wrong_doorbell(uint8_t information) {
  // A driver that does nothing else can't fill our memory.
  if (!(status_ & kStatusReady) || (wrong_doorbells_.fetch_or(1u << information) & 1u << information)) return;
  wake();
}

void Controller::size_changed() {
  // Whoever enables it later sees the new size anyway.
  if (!(status_ & kStatusReady)) return;
  size_changed_ = true;
  wake();
}

// The admin queue.

void Controller::run_admin() {
  eventfd_t ignored;
  eventfd_read(doorbell_event_.get(), &ignored);
  if (paused_ || !admin_submissions_) return;
  const uint32_t wrong = wrong_doorbells_.exchange(0);
  for (const uint8_t information : {kEventInvalidDoorbell, kEventInvalidDoorbellValue}) {
    if (wrong & 1u << information) admin_.add_error(information);
  }
  tell_events();
  for (uint32_t count = 0; count < admin_submissions_->size() && !interrupted_; ++count) {
    if (!admin_completions_->reserve()) return;  // The doorbell wakes us.
    const auto command = admin_submissions_->pop();
    if (!command) return admin_completions_->cancel();
    note_size();  // Before the command that may ask for it.
    const auto outcome = admin_.execute(*command);
    if (outcome) {
      post(command->id, *outcome);
    } else {
      admin_completions_->cancel();
    }
    tell_events();
  }
  wake();  // Come back, after the loop's other work.
}

// Into the room that has been reserved.
void Controller::post(uint16_t id, Admin::Outcome outcome) {
  admin_completions_->post({.dword0 = outcome.dword0,
                            .submission_head = static_cast<uint16_t>(admin_submissions_->head()),
                            .submission_queue = 0,
                            .id = id,
                            .status = outcome.status});
  signal(*admin_completions_);
}

void Controller::note_size() {
  if (size_changed_.exchange(false)) admin_.add_namespace_change();
}

void Controller::tell_events() {
  note_size();
  while (admin_completions_->reserve()) {
    const auto event = admin_.next_event();
    if (!event) return admin_completions_->cancel();
    post(event->id, {.status = kSuccess, .dword0 = event->dword0});
  }
}

// Interrupts.

void Controller::signal(CompletionQueue& queue) {
  if (!queue.vector() || msix_.notify(*queue.vector())) return;
  const std::lock_guard lock(interrupt_mutex_);
  // Taken already, where the driver looked by itself.
  if (queue.is_empty()) return;
  pending_.insert(&queue);
  drive_interrupt();
}

void Controller::forget(const CompletionQueue& queue) {
  const std::lock_guard lock(interrupt_mutex_);
  pending_.erase(&queue);
  drive_interrupt();
}

void Controller::drive_interrupt() {
  set_interrupt(!pending_.empty() && !pin_masked_);
}

}  // namespace alcove::devices::nvme
