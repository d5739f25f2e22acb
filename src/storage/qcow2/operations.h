// When clusters that were freed can be used for something else: once no request is under way that may have
// found them before.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

namespace alcove::storage::qcow2 {

struct Freed {
  uint64_t first = 0;  // Clusters.
  uint64_t count = 0;
  bool discard = false;  // Give their room back to the host if nothing else uses them.
};

class Operations {
 public:
  // Lasts as long as a request; made before it looks where its clusters are.
  class Scope {
   public:
    explicit Scope(Operations& operations) : operations_(operations) {
      while (true) {
        epoch_ = operations_.epoch_.load();
        ++operations_.active_[epoch_ % 2];
        if (operations_.epoch_.load() == epoch_) return;
        --operations_.active_[epoch_ % 2];
      }
    }
    ~Scope() { --operations_.active_[epoch_ % 2]; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Operations& operations_;
    uint64_t epoch_;
  };

  // Of clusters that no request finds any more that begins from now on.
  void add_freed(const Freed& freed) {
    const std::lock_guard lock(mutex_);
    freed_clusters_ += freed.count;
    if (!waiting_.empty()) {
      Waiting& last = waiting_.back();
      if (last.epoch == epoch_ && last.freed.discard == freed.discard &&
          last.freed.first + last.freed.count == freed.first) {
        last.freed.count += freed.count;
        return;
      }
    }
    waiting_.push_back({freed, epoch_});
  }
  uint64_t freed_clusters() const { return freed_clusters_; }

  // Those that no request under way can have found, nor another gets by this call.
  std::vector<Freed> take_unused() {
    const std::lock_guard lock(mutex_);
    // An epoch ends when all requests of the one before have.
    for (int i = 0; i < 2 && active_[(epoch_ + 1) % 2] == 0; ++i) ++epoch_;
    std::vector<Freed> unused;
    size_t count = 0;
    for (; count < waiting_.size() && waiting_[count].epoch + 2 <= epoch_; ++count) {
      unused.push_back(waiting_[count].freed);
      freed_clusters_ -= waiting_[count].freed.count;
    }
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(count));
    return unused;
  }

 private:
  struct Waiting {
    Freed freed;
    uint64_t epoch;
  };
  std::atomic<uint64_t> epoch_ = 0;
  std::array<std::atomic<uint64_t>, 2> active_{};
  std::mutex mutex_;  // Guards what follows, and changes of epoch_.
  std::vector<Waiting> waiting_;
  std::atomic<uint64_t> freed_clusters_ = 0;
};

}  // namespace alcove::storage::qcow2
