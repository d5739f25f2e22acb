#include "cpu/soft/apic/apic.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "cpu/soft/apic/apic_bus.h"
#include "cpu/soft/x86/cpuid.h"
#include "cpu/soft/x86/exceptions.h"
#include "cpu/soft/x86/system/paravirtual.h"

namespace alcove::cpu::soft {
namespace {

// Registers by the number of their x2APIC MSR less 0x800, which is their MMIO offset / 16.
enum Register : unsigned {
  kRegId = 0x02,
  kRegVersion = 0x03,
  kRegTaskPriority = 0x08,
  kRegArbitrationPriority = 0x09,
  kRegProcessorPriority = 0x0a,
  kRegEndOfInterrupt = 0x0b,
  kRegLogicalDestination = 0x0d,
  kRegDestinationFormat = 0x0e,
  kRegSpurious = 0x0f,
  kRegInService = 0x10,
  kRegTriggerMode = 0x18,
  kRegRequests = 0x20,
  kRegErrorStatus = 0x28,
  kRegCommandLow = 0x30,
  kRegCommandHigh = 0x31,
  kRegFirstLvt = 0x32,
  kRegInitialCount = 0x38,
  kRegCurrentCount = 0x39,
  kRegDivide = 0x3e,
  kRegSelfIpi = 0x3f,
};

constexpr uint32_t kMasked = 1u << 16;
constexpr uint32_t kVersionValue = 0x14 | 5u << 16;  // Version 14h, six LVT entries.
constexpr uint32_t kSendIllegalVector = 1u << 5, kReceiveIllegalVector = 1u << 6, kIllegalRegister = 1u << 7;

template <class Words>
int highest(const Words& words) {
  for (int i = 7; i >= 0; --i) {
    const uint32_t word = words[static_cast<size_t>(i)];
    if (word) return i * 32 + 31 - std::countl_zero(word);
  }
  return -1;
}

uint32_t x2apic_logical_id(uint32_t id) {
  return (id >> 4) << 16 | 1u << (id & 15);
}

}  // namespace

Apic::Apic(ApicBus& bus, Cpu& cpu) : bus_(bus), cpu_(cpu), id_(cpu.index) {
  bus.add(*this);
  reset(true);
}

void Apic::reset(bool power_on) {
  stop_timer();
  if (power_on) base_ = 0xfee00800 | (id_ == 0 ? 0x100 : 0);
  logical_destination_ = 0;
  destination_format_ = ~0u;
  spurious_ = 0xff;
  for (auto& word : requests_) word = 0;
  for (auto& word : level_) word = 0;
  in_service_.fill(0);
  has_requests_ = false;
  task_priority_ = 0;
  for (auto& entry : lvt_) entry = kMasked;
  command_ = 0;
  errors_ = 0;
  error_status_ = 0;
  divide_ = 0;
  initial_count_ = 0;
}

// --- Requests ---

void Apic::request(uint8_t vector, bool level) {
  const uint32_t bit = 1u << (vector % 32);
  if (level)
    level_[vector / 32].fetch_or(bit);
  else
    level_[vector / 32].fetch_and(~bit);
  requests_[vector / 32].fetch_or(bit);
  has_requests_.store(true);
  bus_.wake(cpu_, kInterruptAttention);
}

void Apic::deliver(DeliveryMode mode, uint8_t vector, bool level) {
  if (!enabled()) return;
  switch (mode) {
    case DeliveryMode::fixed:
    case DeliveryMode::lowest_priority:
      if (!software_enabled()) return;
      if (vector < 16) {
        errors_.fetch_or(kReceiveIllegalVector);
        return;
      }
      return request(vector, level);
    case DeliveryMode::nmi:
      cpu_.nmi_requests.fetch_add(1, std::memory_order_relaxed);
      return bus_.wake(cpu_, kNmiAttention);
    case DeliveryMode::init:
      return bus_.wake(cpu_, kInitAttention);
    case DeliveryMode::startup:
      startup_vector_.store(vector, std::memory_order_release);
      return bus_.wake(cpu_, kStartupAttention);
    case DeliveryMode::smi:
    case DeliveryMode::reserved:
    case DeliveryMode::external:
      return;  // No SMM and no 8259 behind this processor.
  }
}

bool Apic::matches(uint32_t destination, bool logical, bool wide) const {
  if (!enabled()) return false;
  const uint32_t broadcast = wide ? ~0u : 0xff;
  if (destination == broadcast) return true;
  if (!logical) return destination == id_;
  if (x2apic()) {
    const uint32_t own = x2apic_logical_id(id_);
    return own >> 16 == destination >> 16 && (own & destination & 0xffff);
  }
  const uint32_t own = logical_destination_.load(std::memory_order_relaxed) >> 24;
  if (destination_format_.load(std::memory_order_relaxed) >> 28 == 15) return own & destination;
  return own >> 4 == destination >> 4 && (own & destination & 15);
}

uint8_t Apic::processor_priority() const {
  const int in_service = highest(in_service_);
  const auto in_service_class = static_cast<uint8_t>(in_service < 0 ? 0 : in_service & 0xf0);
  return (task_priority_ & 0xf0) >= in_service_class ? task_priority_ : in_service_class;
}

size_t Apic::has_requests_offset() {
  static_assert(sizeof(has_requests_) == 1);
  return offsetof(Apic, has_requests_);
}

std::optional<uint8_t> Apic::pending() const {
  if (!takes_fixed()) return std::nullopt;
  const int vector = highest(requests_);
  if (vector < 0 || vector >> 4 <= processor_priority() >> 4) return std::nullopt;
  return static_cast<uint8_t>(vector);
}

void Apic::accept(uint8_t vector) {
  const uint32_t bit = 1u << (vector % 32);
  requests_[vector / 32].fetch_and(~bit);
  in_service_[vector / 32] |= bit;
  // Cleared before the look, so that a request made meanwhile is seen by one of the two.
  has_requests_.store(false);
  if (highest(requests_) >= 0) has_requests_.store(true);
}

bool Apic::ends_silently() const {
  if (has_requests()) return false;
  int count = 0;
  for (const uint32_t word : in_service_) count += std::popcount(word);
  if (count != 1) return false;
  const int vector = highest(in_service_);
  const bool level = level_[static_cast<size_t>(vector / 32)].load() >> (vector % 32) & 1;
  return !level && !bus_.is_level_triggered(static_cast<uint8_t>(vector));
}

void Apic::settle_end_of_interrupt() {
  if (cpu_.system.kvm_end_offered && withdraw_end_of_interrupt(cpu_)) finish_highest();
}

void Apic::end_wait() {
  bus_.wake(cpu_, kEndWaitAttention);
}

void Apic::end_of_interrupt() {
  settle_end_of_interrupt();
  finish_highest();
}

void Apic::finish_highest() {
  const int vector = highest(in_service_);
  if (vector < 0) return;
  const auto index = static_cast<size_t>(vector / 32);
  const uint32_t bit = 1u << (vector % 32);
  in_service_[index] &= ~bit;
  bus_.end_of_interrupt(static_cast<uint8_t>(vector), level_[index] & bit);
  recheck_interrupts(cpu_);
}

void Apic::set_task_priority(uint8_t value) {
  const bool lower = value < task_priority_;
  task_priority_ = value;
  if (lower) recheck_interrupts(cpu_);
}

void Apic::set_cr8(uint64_t value) {
  set_task_priority(static_cast<uint8_t>(value << 4));
}

void Apic::note_error(uint32_t bit) {
  errors_.fetch_or(bit);
  deliver_local(kError);
}

void Apic::deliver_local(Lvt entry) {
  const uint32_t value = lvt_[entry].load(std::memory_order_relaxed);
  if (value & kMasked) return;
  // The timer and error entries have no delivery mode: those bits are 0, fixed.
  deliver(static_cast<DeliveryMode>(value >> 8 & 7), static_cast<uint8_t>(value), false);
}

// --- Registers ---

std::optional<uint32_t> Apic::read_register(unsigned number) const {
  if (number >= kRegFirstLvt && number < kRegFirstLvt + unsigned{kLvtCount})
    return lvt_[number - kRegFirstLvt].load();
  if (number >= kRegInService && number < kRegInService + 8) return in_service_[number - kRegInService];
  if (number >= kRegTriggerMode && number < kRegTriggerMode + 8)
    return level_[number - kRegTriggerMode].load();
  if (number >= kRegRequests && number < kRegRequests + 8) return requests_[number - kRegRequests].load();
  switch (number) {
    case kRegId:
      return x2apic() ? id_ : id_ << 24;
    case kRegVersion:
      return kVersionValue;
    case kRegTaskPriority:
      return task_priority_;
    case kRegProcessorPriority:
      return processor_priority();
    case kRegLogicalDestination:
      return x2apic() ? x2apic_logical_id(id_) : logical_destination_.load();
    case kRegSpurious:
      return spurious_.load();
    case kRegErrorStatus:
      return error_status_;
    case kRegInitialCount:
      return initial_count_;
    case kRegCurrentCount:
      return current_count();
    case kRegDivide:
      return divide_;
    default:
      break;
  }
  if (x2apic()) return std::nullopt;
  switch (number) {
    case kRegArbitrationPriority:
    case kRegEndOfInterrupt:
      return 0;
    case kRegDestinationFormat:
      return destination_format_.load();
    case kRegCommandLow:
      return static_cast<uint32_t>(command_);
    case kRegCommandHigh:
      return static_cast<uint32_t>(command_ >> 32);
    default:
      return std::nullopt;
  }
}

bool Apic::write_register(unsigned number, uint32_t value) {
  if (number >= kRegFirstLvt && number < kRegFirstLvt + unsigned{kLvtCount}) {
    write_lvt(static_cast<Lvt>(number - kRegFirstLvt), value);
    return true;
  }
  switch (number) {
    case kRegTaskPriority:
      set_task_priority(static_cast<uint8_t>(value));
      return true;
    case kRegEndOfInterrupt:
      if (x2apic() && value) return false;
      end_of_interrupt();
      return true;
    case kRegSpurious:
      spurious_ = value & 0x1ff;
      // Software disable masks every LVT entry.
      if (!software_enabled())
        for (auto& entry : lvt_) entry |= kMasked;
      recheck_interrupts(cpu_);
      return true;
    case kRegErrorStatus:
      if (x2apic() && value) return false;
      error_status_ = errors_.exchange(0);
      return true;
    case kRegInitialCount:
      start_timer(value);
      return true;
    case kRegDivide:
      divide_ = value & 0xb;
      return true;
    default:
      break;
  }
  if (x2apic()) {
    if (number != kRegSelfIpi || value & ~0xffu) return false;
    write_command(1u << 18 | (value & 0xff), 0);
    return true;
  }
  switch (number) {
    case kRegId:  // Read-only, as on current processors.
      return true;
    case kRegLogicalDestination:
      logical_destination_ = value & 0xff000000;
      return true;
    case kRegDestinationFormat:
      destination_format_ = value | 0x0fffffff;
      return true;
    case kRegCommandLow:
      command_ = (command_ & ~uint64_t{0xffffffff}) | (value & ~(1u << 12));
      write_command(value, static_cast<uint32_t>(command_ >> 56));
      return true;
    case kRegCommandHigh:
      command_ = (command_ & 0xffffffff) | uint64_t{value & 0xff000000} << 32;
      return true;
    default:
      return false;
  }
}

void Apic::write_lvt(Lvt entry, uint32_t value) {
  constexpr std::array<uint32_t, kLvtCount> kWritable{0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff};
  value &= kWritable[entry];
  if (!software_enabled()) value |= kMasked;
  const unsigned mode_before = timer_mode();
  const bool counting = current_count() != 0;  // Its end may be yet to be noticed by the timer thread.
  lvt_[entry].store(value, std::memory_order_relaxed);
  if (entry != kTimer || timer_mode() == mode_before) return;
  // Between one-shot and periodic a count goes on; TSC-deadline mode, or leaving it, disarms (SDM vol. 3,
  // 11.5.4.1).
  if ((timer_mode() | mode_before) & 2)
    stop_timer();
  else
    period_ = timer_mode() == 1 && counting ? timer_period() : 0;
}

void Apic::write_command(uint32_t low, uint32_t destination) {
  const auto mode = static_cast<DeliveryMode>(low >> 8 & 7);
  const bool asserted = low & 1u << 14;
  const bool level = low & 1u << 15;
  if (mode == DeliveryMode::init && level && !asserted)
    return;  // INIT level de-assert: synchronises nothing.
  const auto vector = static_cast<uint8_t>(low);
  if ((mode == DeliveryMode::fixed || mode == DeliveryMode::lowest_priority) && vector < 16)
    return note_error(kSendIllegalVector);
  bus_.send(*this, {.shorthand = static_cast<ApicBus::Shorthand>(low >> 18 & 3),
                    .destination = destination,
                    .logical = (low & 1u << 11) != 0,
                    .wide = x2apic(),
                    .mode = mode,
                    .vector = vector,
                    .level = level && mode == DeliveryMode::fixed});
}

// --- Windows ---

bool Apic::read_memory(uint64_t physical_address, std::span<std::byte> data) {
  if (!enabled() || x2apic() || (physical_address ^ base()) >> 12) return false;
  settle_end_of_interrupt();
  uint32_t value = 0;
  const unsigned offset = physical_address & 0xfff;
  if (offset % 16 + data.size() <= 4) {
    if (const auto read = read_register(offset / 16)) {
      value = *read >> (offset % 16 * 8);
    } else {
      note_error(kIllegalRegister);
    }
  }
  std::memset(data.data(), 0, data.size());
  std::memcpy(data.data(), &value, std::min(data.size(), sizeof value));
  return true;
}

bool Apic::write_memory(uint64_t physical_address, std::span<const std::byte> data) {
  if (!enabled() || x2apic() || (physical_address ^ base()) >> 12) return false;
  const unsigned offset = physical_address & 0xfff;
  if (offset % 16 != 0 || data.size() < 4) return true;  // Undefined by the architecture: dropped.
  uint32_t value;
  std::memcpy(&value, data.data(), sizeof value);
  if (!write_register(offset / 16, value)) note_error(kIllegalRegister);
  return true;
}

bool Apic::read_msr(uint32_t number, uint64_t& value) {
  if (!x2apic()) return false;
  if (number == 0x800 + kRegCommandLow) {
    value = command_;
    return true;
  }
  settle_end_of_interrupt();
  const auto read = read_register(number - 0x800);
  value = read.value_or(0);
  return read.has_value();
}

bool Apic::write_msr(uint32_t number, uint64_t value) {
  if (!x2apic()) return false;
  if (number == 0x800 + kRegCommandLow) {
    command_ = value & ~uint64_t{1u << 12};
    write_command(static_cast<uint32_t>(value), static_cast<uint32_t>(value >> 32));
    return true;
  }
  return value >> 32 == 0 && write_register(number - 0x800, static_cast<uint32_t>(value));
}

bool Apic::set_base(uint64_t value) {
  constexpr uint64_t kAllowed = ((uint64_t{1} << kPhysicalAddressBits) - 0x1000) | 0xd00;
  const bool to_x2apic = value & 0x400, to_enabled = value & 0x800;
  if (value & ~kAllowed || (to_x2apic && !to_enabled)) return false;
  if (x2apic() && !to_x2apic && to_enabled) return false;  // Only by way of disabled (SDM vol. 3, 11.12.5).
  if (!enabled() && to_x2apic) return false;
  const uint64_t bootstrap = base() & 0x100;
  base_ = (value & ~uint64_t{0x100}) | bootstrap;
  if (!to_enabled) reset(false);
  return true;
}

// --- Timer: counts at 1 GHz ---

unsigned Apic::timer_divisor() const {
  const unsigned code = (divide_ & 3) | (divide_ >> 1 & 4);
  return 1u << ((code + 1) & 7);
}

uint64_t Apic::timer_period() const {
  // A faster period than this would only keep the host busy.
  constexpr uint64_t kShortestPeriod = 100'000;
  const uint64_t period = uint64_t{initial_count_} * timer_divisor();
  return timer_mode() == 1 ? std::max(period, kShortestPeriod) : period;
}

void Apic::start_timer(uint32_t initial_count) {
  if (timer_mode() == 2) return;  // Ignored in TSC-deadline mode.
  initial_count_ = initial_count;
  if (!initial_count) return stop_timer();
  bus_.set_timer(*this, 0);  // The old one's end is not under way any more.
  const uint64_t period = timer_period();
  const uint64_t deadline = MachineClock::now() + period;
  period_ = timer_mode() == 1 ? period : 0;
  deadline_ = deadline;
  bus_.set_timer(*this, deadline);
}

void Apic::stop_timer() {
  bus_.set_timer(*this, 0);
  period_ = 0;
  deadline_ = 0;
  tsc_deadline_ = 0;
}

uint32_t Apic::current_count() const {
  const uint64_t deadline = deadline_.load(), now = MachineClock::now();
  if (timer_mode() == 2 || deadline == 0) return 0;
  uint64_t left = deadline > now ? deadline - now : 0;
  // A period may end a while before the timer thread notices.
  if (const uint64_t period = period_.load(); left == 0 && period != 0)
    left = period - (now - deadline) % period;
  return static_cast<uint32_t>(left / timer_divisor());
}

void Apic::set_tsc_deadline(uint64_t guest_tsc) {
  if (timer_mode() != 2) return;
  if (!guest_tsc) return stop_timer();
  // The old one's end may be under way, which would forget the new one.
  if (tsc_deadline_) bus_.set_timer(*this, 0);
  const uint64_t present = MachineClock::host_tsc() + cpu_.tsc_offset;
  if (guest_tsc <= present) {
    stop_timer();
    return deliver_local(kTimer);
  }
  tsc_deadline_ = guest_tsc;
  bus_.set_timer(*this, bus_.clock().time_in(guest_tsc - present));
}

uint64_t Apic::timer_expired(uint64_t deadline, uint64_t now) {
  uint64_t next = 0;
  if (const uint64_t period = period_.load()) {
    next = deadline + period;
    // Periods that nobody was awake for are not made up for.
    if (next <= now) next += (now - next) / period * period + period;
  }
  deadline_ = next;
  tsc_deadline_ = 0;
  deliver_local(kTimer);
  return next;
}

}  // namespace alcove::cpu::soft
