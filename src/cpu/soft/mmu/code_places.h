// Where the code of physical addresses is, for the far jumps of all address spaces: for each value of the low
// bits the place that was added last. Code of one mode each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace alcove::cpu::soft {

class CodePlaces {
 public:
  // The address's bits that count. Most of the code that is jumped to begins at multiples of 8 or 16.
  static constexpr unsigned kBits = 16, kFirstBit = 3;
  struct Entry {
    uint64_t tag;  // The negated address.
    const uint8_t* code;
  };
  static constexpr size_t kCount = size_t{1} << kBits, kSize = kCount * sizeof(Entry);
  static constexpr size_t index_of(uint64_t physical) { return (physical >> kFirstBit) % kCount; }

  // `memory`: kSize bytes, all 0.
  explicit CodePlaces(uint64_t memory) : entries_(reinterpret_cast<Entry*>(memory)) { renew(); }

  void add(uint64_t physical, const uint8_t* code) {
    entries_[index_of(physical)] = {.tag = -physical, .code = code};
    empty_ = false;
  }
  void remove(uint64_t physical, const uint8_t* code) {
    Entry& entry = entries_[index_of(physical)];
    if (entry.tag == -physical && entry.code == code) entry.tag = none(index_of(physical));
  }
  void clear() {
    if (empty_) return;
    std::fill_n(entries_, kCount, Entry{});
    renew();
  }
  // The memory was given back and reads as 0.
  void renew() {
    entries_[0].tag = none(0);
    empty_ = true;
  }

 private:
  // The tag of no place with this index, as 0 would be address 0's.
  static uint64_t none(size_t index) { return index == 0; }

  Entry* entries_;
  bool empty_ = true;
};

}  // namespace alcove::cpu::soft
