// The 8254 interval timer at ports 0x40-0x43, with the system control port 0x61 that gates its channel 2.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>

#include "bus/bus.h"
#include "exec/virtual_clock.h"

namespace alcove::chips {

// One counter (Intel 8254 datasheet). Its state is a function of time, computed when somebody looks: `now` is
// in ticks of kFrequency (hertz) since the machine's start, and never falls.
class PitChannel {
 public:
  static constexpr uint64_t kFrequency = 1'193'182;

  void write_control(uint8_t control, uint64_t now);
  void write_count(uint8_t byte, uint64_t now);
  uint8_t read_count(uint64_t now);
  void latch_count(uint64_t now);
  void latch_status(uint64_t now);
  void set_gate(bool gate, uint64_t now);
  bool gate() const { return gate_; }

  // The output pin at tick `now`.
  bool output(uint64_t now) const;
  // The first tick after `now` at which the output rises, if it ever will by itself.
  std::optional<uint64_t> next_rise(uint64_t now) const;

 private:
  uint32_t period() const { return count_ ? count_ : (bcd_ ? 10'000 : 0x10000); }
  uint64_t elapsed(uint64_t now) const;
  uint16_t counter(uint64_t now) const;
  void load(uint16_t count, uint64_t now);

  uint8_t control_ = 0x30;  // Access and mode bits as written.
  uint8_t mode_ = 0;
  bool bcd_ = false;
  bool gate_ = true;
  bool loaded_ = false;     // A count was written since the control word.
  bool triggered_ = false;  // Modes 1 and 5: the gate has risen since the count was written.
  uint16_t count_ = 0;      // As a binary number; 0 is the largest.
  uint64_t start_ = 0;      // The tick at which counting began.
  uint64_t held_ = 0;       // Ticks counted before the gate went low.
  uint8_t low_byte_ = 0;    // First half of a 16-bit write.
  bool write_high_ = false, read_high_ = false;
  std::optional<uint16_t> latched_count_;
  std::optional<uint8_t> latched_status_;
};

class Pit {
 public:
  // Channel 0's output rises on `line`.
  Pit(exec::VirtualClock& clock, bus::InterruptLine& line);

  bus::Device& ports() { return ports_; }           // 0x40, 4 ports.
  bus::Device& control_port() { return control_; }  // 0x61.
  void reset();                                     // No channel counts, the speaker's gate is closed.

 private:
  struct Ports final : bus::Device {
    explicit Ports(Pit& owner) : pit(owner) {}
    bus::Access read(uint64_t offset, std::span<std::byte> data) override;
    bus::Access write(uint64_t offset, std::span<const std::byte> data) override;
    Pit& pit;
  };
  struct ControlPort final : bus::Device {
    explicit ControlPort(Pit& owner) : pit(owner) {}
    bus::Access read(uint64_t offset, std::span<std::byte> data) override;
    bus::Access write(uint64_t offset, std::span<const std::byte> data) override;
    Pit& pit;
  };

  uint64_t ticks() const;
  void write_command(uint8_t command, uint64_t now);
  void schedule(uint64_t now);
  void on_timer();

  exec::VirtualClock& clock_;
  bus::InterruptLine& line_;
  Ports ports_{*this};
  ControlPort control_{*this};

  std::mutex mutex_;
  std::array<PitChannel, 3> channels_;
  uint8_t speaker_ = 0;  // Bit 1 of port 0x61 as written.
  std::optional<uint64_t> next_rise_;
  exec::Timer timer_;
};

}  // namespace alcove::chips
