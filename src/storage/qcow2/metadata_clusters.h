// Which clusters of an image hold its own tables: an image whose data lie there is damaged or malicious, and
// a guest that could write to them would write the image's structure.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <numeric>
#include <shared_mutex>
#include <vector>

namespace alcove::storage::qcow2 {

// Any thread.
class MetadataClusters {
 public:
  void add(uint64_t first, uint64_t count = 1) {
    const std::unique_lock lock(mutex_);
    const auto begin = std::ranges::lower_bound(clusters_, first);
    const auto place = clusters_.erase(begin, std::lower_bound(begin, clusters_.end(), first + count));
    const auto filled = clusters_.insert(place, count, 0);
    std::iota(filled, filled + static_cast<ptrdiff_t>(count), first);
  }
  // Many at once, in any order.
  void add(const std::vector<uint64_t>& more) {
    const std::unique_lock lock(mutex_);
    clusters_.insert(clusters_.end(), more.begin(), more.end());
    std::ranges::sort(clusters_);
  }
  void remove(uint64_t first, uint64_t count) {
    const std::unique_lock lock(mutex_);
    std::erase_if(clusters_, [&](uint64_t cluster) { return cluster >= first && cluster - first < count; });
  }
  bool overlap(uint64_t first, uint64_t count) const {
    const std::shared_lock lock(mutex_);
    const auto found = std::ranges::lower_bound(clusters_, first);
    return found != clusters_.end() && *found - first < count;
  }

 private:
  mutable std::shared_mutex mutex_;
  std::vector<uint64_t> clusters_;  // Sorted; some maybe twice.
};

}  // namespace alcove::storage::qcow2
