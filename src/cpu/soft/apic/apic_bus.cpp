#include "cpu/soft/apic/apic_bus.h"

#include <sys/prctl.h>

#include <chrono>

#include "support/thread.h"

namespace alcove::cpu::soft {

ApicBus::ApicBus(IoHandler& io, std::function<void(Cpu&)> wake) : io_(io), wake_(std::move(wake)) {
  thread_ = std::thread([this] { run_timers(); });
  name_thread(thread_, "apic timers");
}

ApicBus::~ApicBus() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void ApicBus::add(Apic& apic) {
  const std::lock_guard lock(mutex_);
  apics_.push_back(&apic);
  deadlines_.push_back(0);
}

void ApicBus::wake(Cpu& cpu, uint32_t attention) {
  cpu.attention.fetch_or(attention, std::memory_order_release);
  wake_(cpu);
}

void ApicBus::send(const bus::Message& message) {
  if ((message.address & ~uint64_t{0xfffff}) != 0xfee00000) return;
  Command command{.destination = static_cast<uint32_t>(message.address >> 12 & 0xff),
                  .logical = (message.address & 4) != 0,
                  .mode = static_cast<DeliveryMode>(message.data >> 8 & 7),
                  .vector = static_cast<uint8_t>(message.data),
                  .level = (message.data & 0x8000) != 0};
  const bool redirection_hint = message.address & 8;
  if (redirection_hint && command.logical && command.mode == DeliveryMode::fixed)
    command.mode = DeliveryMode::lowest_priority;
  deliver(command);
}

void ApicBus::send(Apic& from, const Command& command) {
  switch (command.shorthand) {
    case Shorthand::none:
      return deliver(command);
    case Shorthand::self:
      return from.deliver(command.mode, command.vector, command.level);
    case Shorthand::all:
    case Shorthand::others:
      for (Apic* apic : apics_)
        if (apic != &from || command.shorthand == Shorthand::all)
          apic->deliver(command.mode, command.vector, command.level);
  }
}

void ApicBus::deliver(const Command& command) {
  if (command.mode != DeliveryMode::lowest_priority) {
    for (Apic* apic : apics_)
      if (apic->matches(command.destination, command.logical, command.wide))
        apic->deliver(command.mode, command.vector, command.level);
    return;
  }
  // Any one of them; in turn, for the priorities of processors that run are not ours to read.
  const size_t count = apics_.size();
  const unsigned start = next_lowest_.fetch_add(1, std::memory_order_relaxed);
  for (size_t i = 0; i < count; ++i) {
    Apic* apic = apics_[(start + i) % count];
    if (apic->takes_fixed() && apic->matches(command.destination, command.logical, command.wide))
      return apic->deliver(DeliveryMode::fixed, command.vector, command.level);
  }
}

void ApicBus::set_level_triggered_vectors(std::span<const uint64_t, 4> vectors) {
  for (size_t i = 0; i < 4; ++i) level_triggered_[i].store(vectors[i], std::memory_order_relaxed);
}

void ApicBus::end_of_interrupt(uint8_t vector, bool level) {
  if (level || is_level_triggered(vector)) io_.end_of_interrupt(vector);
}

void ApicBus::set_timer(const Apic& apic, uint64_t when) {
  bool earlier = false;
  {
    const std::lock_guard lock(mutex_);
    deadlines_[apic.id()] = when;
    // A later time, or none, needs no word: the thread looks again when it wakes for the old one.
    earlier = when && (!next_ || when < next_);
    if (earlier) next_ = when;
  }
  if (earlier) changed_.notify_one();
}

void ApicBus::run_timers() {
  prctl(PR_SET_TIMERSLACK, 1000);  // ns; 50 us otherwise.
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const uint64_t now = MachineClock::now();
    next_ = 0;
    for (size_t i = 0; i < deadlines_.size(); ++i) {
      uint64_t& deadline = deadlines_[i];
      if (deadline && deadline <= now) deadline = apics_[i]->timer_expired(deadline, now);
      if (deadline && (!next_ || deadline < next_)) next_ = deadline;
    }
    if (!next_) {
      changed_.wait(lock);
    } else {
      changed_.wait_until(lock, std::chrono::steady_clock::time_point(std::chrono::nanoseconds(next_)));
    }
  }
}

}  // namespace alcove::cpu::soft
