// All local APICs of one machine: takes messages and inter-processor interrupts to their destinations, and
// runs the APIC timers on one host thread.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "bus/bus.h"
#include "cpu/hypervisor.h"
#include "cpu/soft/apic/apic.h"
#include "cpu/soft/apic/machine_clock.h"

namespace alcove::cpu::soft {

class ApicBus final : public bus::MessageSink {
 public:
  // `wake` makes a processor that waits (HLT) or executes look at Cpu::attention, which is already set; any
  // thread.
  ApicBus(IoHandler& io, std::function<void(Cpu&)> wake);
  ~ApicBus() override;

  // All are added before any runs, in the order of their numbers. They outlive the bus.
  void add(Apic& apic);

  void send(const bus::Message& message) override;  // An MSI (Intel SDM vol. 3, 11.11).
  void set_level_triggered_vectors(std::span<const uint64_t, 4> vectors);

  const MachineClock& clock() const { return clock_; }
  Apic& apic(unsigned id) const { return *apics_[id]; }
  unsigned cpu_count() const { return static_cast<unsigned>(apics_.size()); }

  // --- For the APICs ---
  enum class Shorthand { none, self, all, others };
  struct Command {
    Shorthand shorthand = Shorthand::none;
    uint32_t destination = 0;
    bool logical = false;
    bool wide = false;  // A 32-bit x2APIC destination.
    DeliveryMode mode = DeliveryMode::fixed;
    uint8_t vector = 0;
    bool level = false;
  };
  void send(Apic& from, const Command& command);
  bool is_level_triggered(uint8_t vector) const {
    return level_triggered_[vector / 64].load(std::memory_order_relaxed) >> (vector % 64) & 1;
  }
  void end_of_interrupt(uint8_t vector, bool level);
  void wake(Cpu& cpu, uint32_t attention);
  // `when` in ns of MachineClock::now(); 0 stops the timer: it does not expire any more after the call.
  void set_timer(const Apic& apic, uint64_t when);

 private:
  void deliver(const Command& command);
  void run_timers();

  IoHandler& io_;
  std::function<void(Cpu&)> wake_;
  MachineClock clock_;
  std::vector<Apic*> apics_;
  std::array<std::atomic<uint64_t>, 4> level_triggered_{};
  std::atomic<unsigned> next_lowest_{0};

  std::mutex mutex_;  // Guards what follows.
  std::condition_variable changed_;
  std::vector<uint64_t> deadlines_;  // One for each APIC; 0: none.
  uint64_t next_ = 0;                // What the thread waits for; 0: nothing.
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace alcove::cpu::soft
