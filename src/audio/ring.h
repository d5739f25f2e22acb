// Bytes from one thread to another, neither of which ever waits.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace alcove::audio {

// One thread writes, one reads; resize() while neither does.
class Ring {
 public:
  void resize(size_t capacity) {
    bytes_.assign(capacity, std::byte{0});
    written_ = read_ = 0;
  }
  size_t capacity() const { return bytes_.size(); }
  // Of both threads.
  size_t fill() const {
    const uint64_t read = read_.load(std::memory_order_acquire);
    return static_cast<size_t>(written_.load(std::memory_order_acquire) - read);
  }
  // Takes what there is room for; tells how much.
  size_t write(std::span<const std::byte> in) {
    const uint64_t written = written_.load(std::memory_order_relaxed);
    const auto used = static_cast<size_t>(written - read_.load(std::memory_order_acquire));
    const size_t size = std::min(in.size(), bytes_.size() - used);
    for_each(written, size, [&](size_t at, size_t done, size_t count) {
      std::memcpy(bytes_.data() + at, in.data() + done, count);
    });
    written_.store(written + size, std::memory_order_release);
    return size;
  }
  // Gives what there is; tells how much.
  size_t read(std::span<std::byte> out) {
    const uint64_t read = read_.load(std::memory_order_relaxed);
    const auto there = static_cast<size_t>(written_.load(std::memory_order_acquire) - read);
    const size_t size = std::min(out.size(), there);
    for_each(read, size, [&](size_t at, size_t done, size_t count) {
      std::memcpy(out.data() + done, bytes_.data() + at, count);
    });
    read_.store(read + size, std::memory_order_release);
    return size;
  }
  // As read(), into nowhere. For the reading thread.
  void clear() { read_.store(written_.load(std::memory_order_acquire), std::memory_order_release); }

 private:
  template <class Copy>
  void for_each(uint64_t position, size_t size, Copy copy) {
    if (size == 0) return;
    const auto at = static_cast<size_t>(position % bytes_.size());
    const size_t first = std::min(size, bytes_.size() - at);
    copy(at, 0, first);
    if (first < size) copy(0, first, size - first);
  }

  std::vector<std::byte> bytes_;
  std::atomic<uint64_t> written_ = 0;  // Since resize(), as the next.
  std::atomic<uint64_t> read_ = 0;
};

}  // namespace alcove::audio
