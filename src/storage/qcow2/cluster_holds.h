// Guest clusters whose place in the file is being changed: one request at a time does.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

namespace alcove::storage::qcow2 {

class ClusterHolds {
 public:
  // Waits until no other holds any of them. A thread has one at a time.
  class Hold {
   public:
    Hold(ClusterHolds& holds, uint64_t first, uint64_t count) : holds_(holds), first_(first), count_(count) {
      std::unique_lock lock(holds_.mutex_);
      holds_.ended_.wait(lock, [&] {
        return std::ranges::none_of(holds_.held_, [&](const Range& held) {
          return held.first < first_ + count_ && first_ < held.first + held.count;
        });
      });
      holds_.held_.push_back({first_, count_});
    }
    ~Hold() {
      {
        const std::lock_guard lock(holds_.mutex_);
        std::erase_if(holds_.held_, [&](const Range& held) { return held.first == first_; });
      }
      holds_.ended_.notify_all();
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    ClusterHolds& holds_;
    uint64_t first_, count_;
  };

 private:
  struct Range {
    uint64_t first, count;
  };
  std::mutex mutex_;
  std::condition_variable ended_;
  std::vector<Range> held_;
};

}  // namespace alcove::storage::qcow2
