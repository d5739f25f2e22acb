#include "chips/pit.h"

namespace alcove::chips {

namespace {

uint16_t from_bcd(uint16_t value) {
  return (value >> 12 & 15) * 1000 + (value >> 8 & 15) * 100 + (value >> 4 & 15) * 10 + (value & 15);
}

uint16_t to_bcd(uint16_t value) {
  return static_cast<uint16_t>((value / 1000 % 10) << 12 | (value / 100 % 10) << 8 | (value / 10 % 10) << 4 |
                               value % 10);
}

}  // namespace

void PitChannel::write_control(uint8_t control, uint64_t now) {
  control_ = control & 0x3f;
  mode_ = control >> 1 & 7;
  if (mode_ > 5) mode_ -= 4;  // Modes 2 and 3 ignore the upper mode bit.
  bcd_ = control & 1;
  loaded_ = triggered_ = false;
  write_high_ = read_high_ = false;
  latched_count_.reset();
  latched_status_.reset();
  start_ = now;
  held_ = 0;
}

void PitChannel::write_count(uint8_t byte, uint64_t now) {
  switch (control_ >> 4 & 3) {
    case 1:
      return load(byte, now);
    case 2:
      return load(static_cast<uint16_t>(byte << 8), now);
    default:
      if (!write_high_) {
        low_byte_ = byte;
        if (mode_ == 0) loaded_ = false;  // The first byte stops counting in mode 0.
      } else {
        load(static_cast<uint16_t>(byte << 8 | low_byte_), now);
      }
      write_high_ = !write_high_;
  }
}

void PitChannel::load(uint16_t count, uint64_t now) {
  count_ = bcd_ ? from_bcd(count) % 10'000 : count;
  loaded_ = true;
  triggered_ = false;
  start_ = now;
  held_ = 0;
}

void PitChannel::set_gate(bool gate, uint64_t now) {
  if (gate == gate_) return;
  if (!gate) held_ = elapsed(now);
  gate_ = gate;
  if (!gate) return;
  triggered_ = true;
  // Modes 0 and 4 go on counting; in the others a rising gate begins anew.
  start_ = mode_ == 0 || mode_ == 4 ? now - std::min(now, held_) : now;
}

uint64_t PitChannel::elapsed(uint64_t now) const {
  if (mode_ == 1 || mode_ == 5) return triggered_ ? now - start_ : 0;  // The gate triggers; it does not hold.
  return gate_ ? now - start_ : held_;
}

uint16_t PitChannel::counter(uint64_t now) const {
  const uint64_t ticks = loaded_ ? elapsed(now) : 0;
  const uint64_t modulus = bcd_ ? 10'000 : 0x10000;
  uint64_t value;
  if (mode_ == 2) {
    value = period() - ticks % period();
  } else if (mode_ == 3) {
    value = period() - 2 * ticks % period();  // Counts by two, twice a period.
  } else {
    value = (period() + modulus - ticks % modulus) % modulus;
  }
  return bcd_ ? to_bcd(static_cast<uint16_t>(value % modulus)) : static_cast<uint16_t>(value);
}

bool PitChannel::output(uint64_t now) const {
  if (!loaded_) return mode_ != 0;
  const uint64_t ticks = elapsed(now);
  switch (mode_) {
    case 0:
      return ticks >= period();
    case 1:
      return !triggered_ || ticks >= period();
    case 2:
      return !gate_ || ticks % period() != period() - 1;
    case 3:
      return !gate_ || ticks % period() < (period() + 1) / 2;
    default:
      return (mode_ == 5 && !triggered_) || ticks != period();
  }
}

std::optional<uint64_t> PitChannel::next_rise(uint64_t now) const {
  if (!loaded_) return std::nullopt;
  switch (mode_) {
    case 0:
      if (!gate_) return std::nullopt;
      break;
    case 1:
    case 5:
      if (!triggered_) return std::nullopt;
      break;
    case 2:
    case 3:
      if (!gate_) return std::nullopt;
      return now + (period() - (now - start_) % period());
    default:
      if (!gate_) return std::nullopt;
  }
  // The strobe of modes 4 and 5 is one tick wide and rises at its end.
  const uint64_t rise = start_ + period() + (mode_ >= 4);
  return rise > now ? std::optional(rise) : std::nullopt;
}

void PitChannel::latch_count(uint64_t now) {
  if (!latched_count_) latched_count_ = counter(now);
}

void PitChannel::latch_status(uint64_t now) {
  // 8254 datasheet, figure 12: output, null count, then the control word.
  if (!latched_status_) {
    latched_status_ = static_cast<uint8_t>(output(now) << 7 | !loaded_ << 6 | control_);
  }
}

uint8_t PitChannel::read_count(uint64_t now) {
  if (latched_status_) {
    const uint8_t status = *latched_status_;
    latched_status_.reset();
    return status;
  }
  const uint16_t value = latched_count_.value_or(counter(now));
  const unsigned access = control_ >> 4 & 3;
  const bool high = access == 2 || (access == 3 && read_high_);
  if (access == 3) read_high_ = !read_high_;
  if (access != 3 || high) latched_count_.reset();
  return static_cast<uint8_t>(high ? value >> 8 : value);
}

}  // namespace alcove::chips
