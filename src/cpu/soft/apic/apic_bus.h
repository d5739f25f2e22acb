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

namespace alcove::cpu::soft {

class ApicBus final : public bus::MessageSink {
 public:
  // `wake` makes a processor that waits (HLT) or executes look at Cpu::attention; any thread.
  ApicBus(IoHandler& io, std::function<void(Cpu&)> wake);
  ~ApicBus() override;

  // All are added before any runs, in the order of their numbers.
  void add(Apic& apic) { apics_.push_back(&apic); }

  void send(const bus::Message& message) override;  // An MSI (Intel SDM vol. 3, 11.11).
  void set_level_triggered_vectors(std::span<const uint64_t, 4> vectors);

  // --- For the APICs ---
  enum class Shorthand { none, self, all, others };
  // An inter-processor interrupt; false if no processor matched.
  bool send(Apic& from, Shorthand shorthand, uint32_t destination, bool logical, DeliveryMode mode,
            uint8_t vector, bool level);
  void end_of_interrupt(uint8_t vector, bool level);
  void wake(Cpu& cpu, uint32_t attention);
  // `when` in ns of CLOCK_MONOTONIC; 0 stops the timer.
  void set_timer(Apic& apic, uint64_t when);

  static uint64_t now();  // CLOCK_MONOTONIC in ns.

 private:
  bool deliver(uint32_t destination, bool logical, bool wide, DeliveryMode mode, uint8_t vector, bool level);
  void run_timers();

  IoHandler& io_;
  std::function<void(Cpu&)> wake_;
  std::vector<Apic*> apics_;
  std::array<std::atomic<uint64_t>, 4> level_triggered_{};
  std::atomic<unsigned> next_lowest_{0};

  std::mutex mutex_;  // Guards timers_, next_ and stopping_.
  std::condition_variable changed_;
  std::vector<std::pair<uint64_t, Apic*>> timers_;
  uint64_t next_ = 0;  // What the thread waits for; 0: nothing.
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace alcove::cpu::soft
