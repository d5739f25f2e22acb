// The local APIC of one virtual CPU (Intel SDM vol. 3, chapter 11), as xAPIC and x2APIC.
//
// Registers belong to the processor's own thread; post() and what ApicBus calls may come from any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

class ApicBus;

enum class DeliveryMode : uint8_t { fixed, lowest_priority, smi, reserved, nmi, init, startup, external };

class Apic {
 public:
  Apic(ApicBus& bus, Cpu& cpu);

  void reset(bool power_on);

  // The interrupt that the processor would take now (highest in IRR above PPR), and its acceptance.
  std::optional<uint8_t> pending() const;
  void accept(uint8_t vector);

  // The MMIO window, while in xAPIC mode: true if the address is in it. Aligned 32-bit accesses count.
  bool read_memory(uint64_t physical_address, std::span<std::byte> data);
  bool write_memory(uint64_t physical_address, std::span<const std::byte> data);

  // Model-specific registers 0x800-0x8ff (x2APIC mode), IA32_APIC_BASE, IA32_TSC_DEADLINE. False: #GP.
  bool read_msr(uint32_t number, uint64_t& value);
  bool write_msr(uint32_t number, uint64_t value);
  uint64_t base() const { return base_.load(std::memory_order_relaxed); }
  bool set_base(uint64_t value);  // False: not allowed (reserved bits, mode changes).

  uint64_t cr8() const { return task_priority_ >> 4; }
  void set_cr8(uint64_t value);

  uint32_t id() const { return id_; }

  // --- Any thread ---
  // Makes a fixed interrupt pending.
  void post(uint8_t vector, bool level);
  void deliver(DeliveryMode mode, uint8_t vector, bool level);
  bool matches(uint32_t destination, bool logical, bool x2apic_sender) const;
  void timer_expired(uint64_t now);
  // Any interrupt requested that is not yet in service (whether or not it can be taken).
  bool has_requests() const { return requested_.load(std::memory_order_acquire); }
  uint8_t startup_vector() const { return startup_vector_.load(std::memory_order_acquire); }

 private:
  using Bits = std::array<std::atomic<uint32_t>, 8>;

  bool enabled() const { return base() & 0x800; }
  bool x2apic() const { return base() & 0x400; }
  bool software_enabled() const { return spurious_.load(std::memory_order_relaxed) & 0x100; }
  uint8_t processor_priority() const;
  void recheck();

  std::optional<uint32_t> read_register(unsigned number);
  bool write_register(unsigned number, uint32_t value);
  void write_lvt(unsigned index, uint32_t value);
  void write_command(uint32_t low, uint32_t destination);
  void end_of_interrupt();
  void note_error(uint32_t bit);
  void post_local(unsigned lvt);

  void start_timer(uint32_t initial_count);
  void set_deadline(uint64_t tsc);
  void stop_timer();
  uint32_t current_count() const;
  uint64_t timer_period(uint32_t count) const;

  ApicBus& bus_;
  Cpu& cpu_;
  const uint32_t id_;
  std::atomic<uint64_t> base_{0};
  std::atomic<uint32_t> logical_destination_{0};
  std::atomic<uint32_t> destination_format_{~0u};
  std::atomic<uint32_t> spurious_{0xff};
  Bits requests_{};  // IRR
  Bits trigger_{};   // TMR
  std::array<uint32_t, 8> in_service_{};
  std::atomic<bool> requested_{false};
  uint8_t task_priority_ = 0;
  std::array<std::atomic<uint32_t>, 7> lvt_{};  // CMCI, timer, thermal, performance, LINT0, LINT1, error.
  uint32_t command_low_ = 0, command_high_ = 0;
  std::atomic<uint32_t> errors_{0};
  uint32_t error_status_ = 0;
  std::atomic<uint8_t> startup_vector_{0};

  uint32_t divide_ = 0;
  uint32_t initial_count_ = 0;
  std::atomic<uint64_t> deadline_{0};  // Host time in ns (CLOCK_MONOTONIC); 0: not running.
  std::atomic<uint64_t> period_{0};    // Of a periodic timer, ns.
  std::atomic<uint64_t> tsc_deadline_{0};
};

}  // namespace alcove::cpu::soft
