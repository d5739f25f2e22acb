// Flushes one after another: of several at once the kernel, or a server, may tell only one that it failed.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "storage/disk.h"

namespace alcove::storage {

// Any thread.
class FlushTurns {
 public:
  // Calls `flush`; or does nothing where one that began since this call did, and succeeded.
  template <class Flush>
  IoResult share(Flush flush) {
    const uint64_t before = begun_;
    const std::lock_guard lock(mutex_);
    if (last_success_ > before) return {};
    const uint64_t own = ++begun_;
    IoResult done = flush();
    if (done) last_success_ = own;
    return done;
  }
  // Calls what fails like a flush, but is less than one.
  template <class Function>
  IoResult take(Function function) {
    const std::lock_guard lock(mutex_);
    return function();
  }

 private:
  std::mutex mutex_;
  std::atomic<uint64_t> begun_ = 0;
  uint64_t last_success_ = 0;
};

}  // namespace alcove::storage
