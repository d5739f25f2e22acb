// The MC146818 real-time clock with its 128 bytes of memory, at ports 0x70 and 0x71.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>

#include "bus/bus.h"
#include "exec/virtual_clock.h"

namespace alcove::chips {

// Follows the host's time of day (UTC), with whatever difference the guest sets.
class Rtc final : public bus::Device {
 public:
  static constexpr uint8_t kCentury = 0x32;  // As the FADT tells.

  Rtc(exec::VirtualClock& clock, bus::InterruptLine& line);

  bus::Access read(uint64_t offset, std::span<std::byte> data) override;
  bus::Access write(uint64_t offset, std::span<const std::byte> data) override;

  // Interrupts off; the time and the memory stay, as with a battery.
  void reset();

  // Sets a byte of the memory behind the clock's registers, as firmware finds it. No processor runs.
  void set_memory(uint8_t index, uint8_t value);

 private:
  struct Time {
    int year, month, day, weekday, hour, minute, second;
  };
  exec::Nanoseconds local_now() const;
  Time time() const;
  void set_time(const Time& time);
  uint8_t encode(int value) const;
  int decode(uint8_t value) const;
  uint8_t encode_hour(int hour) const;
  int decode_hour(uint8_t value) const;
  uint8_t read_register(uint8_t index);
  void write_register(uint8_t index, uint8_t value);
  bool alarm_matches(const Time& time) const;
  exec::Nanoseconds period() const;
  void schedule();
  void on_timer();
  void update_line();

  exec::VirtualClock& clock_;
  bus::InterruptLine& line_;

  std::mutex mutex_;
  uint8_t index_ = 0;
  std::array<uint8_t, 128> memory_{};  // The time registers hold what is shown while SET is on.
  exec::Nanoseconds offset_{0};        // The clock's time of day minus the host's.
  int64_t last_second_ = 0;            // Up to where update and alarm interrupts were considered.
  exec::Nanoseconds next_periodic_{0};
  exec::Timer timer_;
};

}  // namespace alcove::chips
