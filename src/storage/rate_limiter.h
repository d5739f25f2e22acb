// How much may be done on a disk in a second.
#pragma once

#include <alcove/storage.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace alcove::storage {

// What is admitted may be of any size: it is paid for by those that come after it, so that the average is
// kept and no request waits longer than the one before it is worth. Any thread.
class RateLimiter {
 public:
  void set(StorageDeviceLimits limits);
  StorageDeviceLimits limits() const;

  // Waits until an operation on so many bytes may begin.
  void admit(uint64_t bytes);
  // Whether nobody ever waits.
  bool is_unlimited() const { return unlimited_; }

  // While they rush nobody waits, and whoever does goes on. What is done counts all the same.
  void set_rushing(bool rushing);

 private:
  using Clock = std::chrono::steady_clock;
  // With mutex_ held.
  Clock::time_point next() const;
  void charge(Clock::time_point now, uint64_t bytes);

  std::atomic<bool> unlimited_ = true;
  mutable std::mutex mutex_;  // Guards what follows.
  std::condition_variable changed_;
  StorageDeviceLimits limits_;
  bool rushing_ = false;
  Clock::time_point bytes_paid_, operations_paid_;  // When what was admitted is paid for.
};

}  // namespace alcove::storage
