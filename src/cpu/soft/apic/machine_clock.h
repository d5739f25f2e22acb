// One machine's time: the guest's TSC (the host's, from 0 when the machine was made) and its relation to the
// host's monotonic clock.
#pragma once

#include <cstdint>

namespace alcove::cpu::soft {

class MachineClock {
 public:
  MachineClock();

  static uint64_t host_tsc();
  static uint64_t now();  // CLOCK_MONOTONIC, ns.

  uint64_t frequency_khz() const { return frequency_khz_; }
  // What the processors add to the host's TSC at power-on.
  uint64_t initial_tsc_offset() const { return -start_tsc_; }
  uint64_t start_tsc() const { return start_tsc_; }    // Of the host.
  uint64_t start_time() const { return start_time_; }  // now() at that moment.

  // now() when that many ticks of the TSC have passed.
  uint64_t time_in(uint64_t ticks) const;

  // TSC differences to nanoseconds: ((ticks << shift) * multiplier) >> 32, a negative shift being to the
  // right. This is how pvclock wants it.
  uint32_t multiplier() const { return multiplier_; }
  int8_t shift() const { return shift_; }

 private:
  uint64_t frequency_khz_;
  uint64_t start_tsc_;
  uint64_t start_time_;
  uint32_t multiplier_;
  int8_t shift_;
};

}  // namespace alcove::cpu::soft
