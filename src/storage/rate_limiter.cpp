#include "storage/rate_limiter.h"

#include <algorithm>

namespace alcove::storage {

namespace {

// What is not used in so long is lost.
constexpr std::chrono::milliseconds kSaved{100};
// Longer than anybody waits; keeps sums from overflowing.
constexpr std::chrono::hours kLongest{24};

std::chrono::nanoseconds cost(uint64_t amount, uint64_t per_second) {
  if (per_second == 0) return {};
  const double seconds = static_cast<double>(amount) / static_cast<double>(per_second);
  const double most = std::chrono::duration<double>(kLongest).count();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>(std::min(seconds, most)));
}

}  // namespace

void RateLimiter::set(StorageDeviceLimits limits) {
  const std::lock_guard lock(mutex_);
  limits_ = limits;
  bytes_paid_ = operations_paid_ = {};  // What was admitted under other limits is forgotten.
  unlimited_ = limits == StorageDeviceLimits{};
  changed_.notify_all();
}

StorageDeviceLimits RateLimiter::limits() const {
  const std::lock_guard lock(mutex_);
  return limits_;
}

RateLimiter::Clock::time_point RateLimiter::next() const {
  return std::max(bytes_paid_, operations_paid_);
}

void RateLimiter::charge(Clock::time_point now, uint64_t bytes) {
  const auto add = [&](Clock::time_point& paid, std::chrono::nanoseconds more) {
    paid = std::min(std::max(paid, now - kSaved) + more, now + kLongest);
  };
  add(bytes_paid_, cost(bytes, limits_.bytes_per_second));
  add(operations_paid_, cost(1, limits_.operations_per_second));
}

void RateLimiter::admit(uint64_t bytes) {
  if (unlimited_) return;
  std::unique_lock lock(mutex_);
  auto now = Clock::now();
  while (!rushing_ && now < next()) {
    changed_.wait_until(lock, next());
    now = Clock::now();
  }
  charge(now, bytes);
}

void RateLimiter::set_rushing(bool rushing) {
  const std::lock_guard lock(mutex_);
  rushing_ = rushing;
  changed_.notify_all();
}

}  // namespace alcove::storage
