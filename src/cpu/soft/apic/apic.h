// The local APIC of one virtual CPU (Intel SDM vol. 3, chapter 11), as xAPIC and x2APIC.
//
// Registers belong to the processor's own thread; what other threads use is marked below.
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
  // Joins the bus; the processor's number is its ID.
  Apic(ApicBus& bus, Cpu& cpu);

  void reset(bool power_on);

  // The interrupt that the processor would take now (highest in IRR above PPR), and its acceptance.
  std::optional<uint8_t> pending() const;
  void accept(uint8_t vector);

  // Whether nobody needs to know of the end of the interrupt in service: no other is in service or requested,
  // and the IOAPIC does not wait for it.
  bool ends_silently() const;
  // Finds out whether the guest has ended an interrupt that it could end so. To be called before anything
  // depends on what is in service.
  void settle_end_of_interrupt();

  // The MMIO window, while in xAPIC mode: true if the address is in it. Aligned 32-bit accesses count.
  bool read_memory(uint64_t physical_address, std::span<std::byte> data);
  bool write_memory(uint64_t physical_address, std::span<const std::byte> data);

  // Model-specific registers 0x800-0x8ff; false: #GP.
  bool read_msr(uint32_t number, uint64_t& value);
  bool write_msr(uint32_t number, uint64_t value);
  uint64_t base() const { return base_.load(std::memory_order_relaxed); }
  bool set_base(uint64_t value);  // IA32_APIC_BASE; false: not allowed (reserved bits, mode changes).
  uint64_t tsc_deadline() const { return tsc_deadline_.load(std::memory_order_relaxed); }
  void set_tsc_deadline(uint64_t guest_tsc);

  uint64_t cr8() const { return task_priority_ >> 4; }
  void set_cr8(uint64_t value);

  uint32_t id() const { return id_; }
  ApicBus& bus() const { return bus_; }

  // --- Any thread ---
  void deliver(DeliveryMode mode, uint8_t vector, bool level);
  bool matches(uint32_t destination, bool logical, bool wide) const;
  bool takes_fixed() const { return enabled() && software_enabled(); }
  // Any interrupt requested and not yet in service, whether or not it can be taken.
  bool has_requests() const { return has_requests_.load(std::memory_order_acquire); }
  // For translated code: the byte that tells it.
  static size_t has_requests_offset();
  void end_wait();
  uint8_t startup_vector() const { return startup_vector_.load(std::memory_order_acquire); }
  // The bus's timer thread: the deadline came. Returns the next, or 0.
  uint64_t timer_expired(uint64_t deadline, uint64_t now);

 private:
  enum Lvt : unsigned { kTimer, kThermal, kPerformance, kLint0, kLint1, kError, kLvtCount };

  bool enabled() const { return base() & 0x800; }
  bool x2apic() const { return base() & 0x400; }
  bool software_enabled() const { return spurious_.load(std::memory_order_relaxed) & 0x100; }
  uint8_t processor_priority() const;

  void request(uint8_t vector, bool level);
  void deliver_local(Lvt entry);
  std::optional<uint32_t> read_register(unsigned number) const;
  bool write_register(unsigned number, uint32_t value);
  void write_lvt(Lvt entry, uint32_t value);
  void write_command(uint32_t low, uint32_t destination);
  void set_task_priority(uint8_t value);
  void end_of_interrupt();
  void finish_highest();
  void note_error(uint32_t bit);

  unsigned timer_mode() const { return lvt_[kTimer].load(std::memory_order_relaxed) >> 17 & 3; }
  unsigned timer_divisor() const;
  uint64_t timer_period() const;
  void start_timer(uint32_t initial_count);
  void stop_timer();
  uint32_t current_count() const;

  ApicBus& bus_;
  Cpu& cpu_;
  const uint32_t id_;
  std::atomic<uint64_t> base_{0};
  std::atomic<uint32_t> logical_destination_{0};
  std::atomic<uint32_t> destination_format_{~0u};
  std::atomic<uint32_t> spurious_{0xff};
  std::array<std::atomic<uint32_t>, 8> requests_{};  // IRR
  std::array<std::atomic<uint32_t>, 8> level_{};     // TMR
  std::array<uint32_t, 8> in_service_{};             // ISR
  std::atomic<bool> has_requests_{false};
  uint8_t task_priority_ = 0;
  std::array<std::atomic<uint32_t>, kLvtCount> lvt_{};
  uint64_t command_ = 0;
  std::atomic<uint32_t> errors_{0};
  uint32_t error_status_ = 0;
  std::atomic<uint8_t> startup_vector_{0};

  uint32_t divide_ = 0;
  uint32_t initial_count_ = 0;
  std::atomic<uint64_t> deadline_{0};  // Of the count, in MachineClock's time; 0: it stands.
  std::atomic<uint64_t> period_{0};    // ns
  std::atomic<uint64_t> tsc_deadline_{0};
};

}  // namespace alcove::cpu::soft
