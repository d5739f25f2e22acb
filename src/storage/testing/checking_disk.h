#pragma once

#include <sys/uio.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <expected>
#include <span>

#include "storage/disk.h"

namespace alcove::storage::testing {

// For fuzz tests: traps on a request that the device's parser should not have let through.
struct CheckingDisk final : Disk {
  explicit CheckingDisk(uint64_t bytes) : bytes_(bytes) {}
  uint64_t size() const override { return bytes_; }
  bool is_read_only() const override { return read_only; }
  IoResult check(uint64_t offset, uint64_t size) const {
    if (offset % 512 || size % 512 || offset > bytes_ || size > bytes_ - offset) __builtin_trap();
    return {};
  }
  IoResult check(uint64_t offset, std::span<const iovec> buffers) const {
    uint64_t size = 0;
    for (const iovec& buffer : buffers) size += buffer.iov_len;
    return check(offset, size);
  }
  IoResult read(uint64_t offset, std::span<const iovec> buffers) override {
    for (const iovec& buffer : buffers) std::memset(buffer.iov_base, 0xaa, buffer.iov_len);
    return check(offset, buffers);
  }
  IoResult write(uint64_t offset, std::span<const iovec> buffers) override {
    if (read_only) __builtin_trap();
    for (const iovec& buffer : buffers) {
      volatile auto last = static_cast<const std::byte*>(buffer.iov_base)[buffer.iov_len - 1];
      static_cast<void>(last);
    }
    return check(offset, buffers);
  }
  IoResult flush() override { return std::unexpected(EIO); }
  IoResult discard(uint64_t offset, uint64_t size) override {
    if (read_only) __builtin_trap();
    return check(offset, size);
  }
  IoResult write_zeroes(uint64_t offset, uint64_t size, bool) override {
    if (read_only) __builtin_trap();
    return check(offset, size);
  }
  bool read_only = false;

 private:
  uint64_t bytes_;
};

}  // namespace alcove::storage::testing
