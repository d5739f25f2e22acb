#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace alcove::serial {

// The last bytes that a guest printed. Every byte has an offset, counted from the machine's first, so that a
// reader can go on where it left and see how much it missed. Any thread.
class LogRing {
 public:
  explicit LogRing(size_t capacity = 256 * 1024) : bytes_(capacity) {}

  void append(std::span<const std::byte> data);

  struct Part {
    uint64_t offset = 0;  // Of text's first byte: later than asked for where older bytes are gone.
    std::string text;
  };
  Part read(uint64_t offset, size_t maximum = SIZE_MAX) const;

  uint64_t end() const;  // The offset of the next byte to come.

 private:
  mutable std::mutex mutex_;
  std::vector<std::byte> bytes_;  // The byte with offset n is at n % bytes_.size().
  uint64_t end_ = 0;
};

}  // namespace alcove::serial
