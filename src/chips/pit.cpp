#include "chips/pit.h"

#include <algorithm>

namespace alcove::chips {

namespace {

// A guest may ask for a million interrupts a second; more than this many don't come.
constexpr exec::Nanoseconds kShortestPeriod{50'000};

constexpr uint8_t kGate = 1, kSpeaker = 2, kRefresh = 0x10, kOutput = 0x20;  // Port 0x61.

}  // namespace

Pit::Pit(exec::VirtualClock& clock, bus::InterruptLine& line)
    : clock_(clock), line_(line), timer_(clock, [this] { on_timer(); }) {
  reset();
}

void Pit::reset() {
  std::lock_guard lock(mutex_);
  channels_ = {};
  channels_[2].set_gate(false, ticks());
  speaker_ = 0;
  next_rise_.reset();
  timer_.clear();
}

uint64_t Pit::ticks() const {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(clock_.now().count()) * PitChannel::kFrequency /
                               1'000'000'000);
}

void Pit::schedule(uint64_t now) {
  next_rise_ = channels_[0].next_rise(now);
  if (!next_rise_) return timer_.clear();
  // Rounded up, so that the tick has come when the timer runs.
  const auto when = exec::Nanoseconds(static_cast<int64_t>(
      (static_cast<unsigned __int128>(*next_rise_) * 1'000'000'000 + PitChannel::kFrequency - 1) /
      PitChannel::kFrequency));
  timer_.set(std::max(when, clock_.now() + kShortestPeriod));
}

void Pit::on_timer() {
  {
    std::lock_guard lock(mutex_);
    const uint64_t now = ticks();
    if (!next_rise_ || *next_rise_ > now) return;
    schedule(now);
  }
  line_.set(false);
  line_.set(true);
}

void Pit::write_command(uint8_t command, uint64_t now) {
  const unsigned select = command >> 6;
  if (select == 3) {  // Read-back; its two flags are active low.
    for (unsigned i = 0; i < 3; ++i) {
      if (!(command & 2 << i)) continue;
      if (!(command & 0x20)) channels_[i].latch_count(now);
      if (!(command & 0x10)) channels_[i].latch_status(now);
    }
    return;
  }
  if ((command & 0x30) == 0) return channels_[select].latch_count(now);
  channels_[select].write_control(command, now);
  if (select == 0) schedule(now);
}

bus::Access Pit::Ports::read(uint64_t offset, std::span<std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  if (offset == 3) return bus::Access::no_register;
  std::lock_guard lock(pit.mutex_);
  data[0] = std::byte{pit.channels_[offset].read_count(pit.ticks())};
  return bus::Access::done;
}

bus::Access Pit::Ports::write(uint64_t offset, std::span<const std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  const auto value = std::to_integer<uint8_t>(data[0]);
  std::lock_guard lock(pit.mutex_);
  const uint64_t now = pit.ticks();
  if (offset == 3) {
    pit.write_command(value, now);
  } else {
    pit.channels_[offset].write_count(value, now);
    if (offset == 0) pit.schedule(now);
  }
  return bus::Access::done;
}

bus::Access Pit::ControlPort::read(uint64_t, std::span<std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  std::lock_guard lock(pit.mutex_);
  const uint64_t now = pit.ticks();
  uint8_t value = pit.speaker_;
  if (pit.channels_[2].gate()) value |= kGate;
  if (pit.channels_[2].output(now)) value |= kOutput;
  // Memory refresh toggles about every 15 µs; old delay loops count it.
  if (pit.clock_.now().count() / 15'085 % 2) value |= kRefresh;
  data[0] = std::byte{value};
  return bus::Access::done;
}

bus::Access Pit::ControlPort::write(uint64_t, std::span<const std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  const auto value = std::to_integer<uint8_t>(data[0]);
  std::lock_guard lock(pit.mutex_);
  pit.speaker_ = value & kSpeaker;
  pit.channels_[2].set_gate(value & kGate, pit.ticks());
  return bus::Access::done;
}

}  // namespace alcove::chips
