// Pieces of L2 tables in memory: a bounded number of slices, each for up to 512 guest clusters side by side.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

namespace alcove::storage::qcow2 {

struct L2Slice {
  explicit L2Slice(std::vector<uint64_t> read) : entries(std::move(read)) {}
  std::vector<uint64_t> entries;  // In the host's byte order.
  std::atomic<bool> used = true;  // Since the last look for one to drop.
  // The file does not have these of them yet: [unsettled, settled_from). The slice is kept so long.
  size_t unsettled = 0, settled_from = 0;
};

// Found by the number of the slice on the guest's disk. Several threads may find at once; adding and removing
// needs the only access. Less than `most` are unsettled.
class L2Cache {
 public:
  explicit L2Cache(size_t most) : most_(most) {}

  L2Slice* find(uint64_t number) const {
    const auto found = slices_.find(number);
    if (found == slices_.end()) return nullptr;
    found->second->used.store(true, std::memory_order_relaxed);
    return found->second.get();
  }
  L2Slice* add(uint64_t number, std::unique_ptr<L2Slice> slice) {
    if (order_.size() >= most_) drop_one();
    order_.push_back(number);
    return slices_.insert_or_assign(number, std::move(slice)).first->second.get();
  }
  void clear() {
    slices_.clear();
    order_.clear();
    hand_ = 0;
  }
  size_t size() const { return slices_.size(); }
  size_t most() const { return most_; }

 private:
  // The first that was not used since the hand of this clock came by.
  void drop_one() {
    while (true) {
      if (hand_ >= order_.size()) hand_ = 0;
      const auto found = slices_.find(order_[hand_]);
      if (!found->second->used.exchange(false, std::memory_order_relaxed) &&
          found->second->settled_from == 0) {
        slices_.erase(found);
        order_[hand_] = order_.back();
        order_.pop_back();
        return;
      }
      ++hand_;
    }
  }

  const size_t most_;
  std::unordered_map<uint64_t, std::unique_ptr<L2Slice>> slices_;
  std::vector<uint64_t> order_;
  size_t hand_ = 0;
};

}  // namespace alcove::storage::qcow2
