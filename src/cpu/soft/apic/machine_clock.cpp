#include "cpu/soft/apic/machine_clock.h"

#include <time.h>
#include <x86intrin.h>

#include <algorithm>

namespace alcove::cpu::soft {
namespace {

struct Reading {
  uint64_t tsc;
  uint64_t time;
};

// Both clocks at one moment: the closest of a few tries.
Reading read_both() {
  Reading best{};
  uint64_t best_width = ~uint64_t{0};
  for (int i = 0; i < 20; ++i) {
    const uint64_t before = MachineClock::host_tsc();
    const uint64_t time = MachineClock::now();
    const uint64_t after = MachineClock::host_tsc();
    if (after - before < best_width) {
      best_width = after - before;
      best = {.tsc = before + (after - before) / 2, .time = time};
    }
  }
  return best;
}

// Measured once a process: 20 ms give a few parts in a million, which the guest's time keeping corrects.
uint64_t measure_frequency_khz() {
  const Reading first = read_both();
  const timespec pause{.tv_sec = 0, .tv_nsec = 20'000'000};
  nanosleep(&pause, nullptr);
  const Reading second = read_both();
  const auto khz = static_cast<uint64_t>(static_cast<unsigned __int128>(second.tsc - first.tsc) * 1'000'000 /
                                         (second.time - first.time));
  return std::max<uint64_t>(khz, 1);
}

}  // namespace

uint64_t MachineClock::host_tsc() {
  return __rdtsc();
}

uint64_t MachineClock::now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

MachineClock::MachineClock() {
  static const uint64_t kFrequency = measure_frequency_khz();
  frequency_khz_ = kFrequency;
  const Reading start = read_both();
  start_tsc_ = start.tsc;
  start_time_ = start.time;
  // multiplier = 2^32 * 10^6 / (khz * 2^shift), with the shift that keeps it in [2^31, 2^32).
  shift_ = 0;
  unsigned __int128 quotient = (static_cast<unsigned __int128>(1'000'000) << 32) / frequency_khz_;
  while (quotient >> 32) {
    quotient >>= 1;
    ++shift_;
  }
  while (quotient >> 31 == 0) {
    --shift_;
    quotient = (static_cast<unsigned __int128>(1'000'000) << (32 - shift_)) / frequency_khz_;
  }
  multiplier_ = static_cast<uint32_t>(quotient);
}

uint64_t MachineClock::time_in(uint64_t ticks) const {
  const uint64_t present = now();
  const auto wait = static_cast<unsigned __int128>(ticks) * 1'000'000 / frequency_khz_;
  constexpr uint64_t kForever = uint64_t{1} << 62;
  return wait > kForever ? present + kForever : present + static_cast<uint64_t>(wait);
}

}  // namespace alcove::cpu::soft
