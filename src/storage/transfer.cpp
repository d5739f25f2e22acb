#include "storage/transfer.h"

#include <limits.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace alcove::storage {

uint64_t total_size(std::span<const iovec> buffers) {
  uint64_t total = 0;
  for (const iovec& buffer : buffers) total += buffer.iov_len;
  return total;
}

IoResult transfer(int fd, Direction direction, uint64_t offset, std::span<const iovec> buffers,
                  const TransferOptions& options) {
  std::array<iovec, 256> window;
  static_assert(window.size() <= IOV_MAX);
  size_t used = 0;  // Of the first buffer.
  while (!buffers.empty()) {
    const size_t count = std::min(buffers.size(), window.size());
    std::copy_n(buffers.begin(), count, window.begin());
    window[0].iov_base = static_cast<std::byte*>(window[0].iov_base) + used;
    window[0].iov_len -= used;
    const auto at = static_cast<off_t>(offset);
    const ssize_t done = direction == Direction::read
                             ? preadv2(fd, window.data(), static_cast<int>(count), at, options.flags)
                             : pwritev2(fd, window.data(), static_cast<int>(count), at, options.flags);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return std::unexpected(errno);
    if (done == 0 && total_size({window.data(), count}) > 0) {
      if (direction == Direction::write || options.past_end == PastEnd::error) return std::unexpected(EIO);
      Cursor rest(buffers);
      rest.take(used);
      rest.fill_zero(total_size(buffers) - used);
      return {};
    }
    offset += static_cast<uint64_t>(done);
    used += static_cast<size_t>(done);
    while (!buffers.empty() && used >= buffers.front().iov_len) {
      used -= buffers.front().iov_len;
      buffers = buffers.subspan(1);
    }
  }
  return {};
}

template <class Copy>
void Cursor::advance(size_t size, Copy copy) {
  while (size > 0 && !buffers_.empty()) {
    const size_t count = std::min(size, buffers_.front().iov_len - used_);
    copy(static_cast<std::byte*>(buffers_.front().iov_base) + used_, count);
    size -= count;
    used_ += count;
    if (used_ < buffers_.front().iov_len) continue;
    buffers_ = buffers_.subspan(1);
    used_ = 0;
  }
}

void Cursor::copy_to(std::byte* to, size_t size) {
  advance(size, [&](const std::byte* from, size_t count) {
    std::memcpy(to, from, count);
    to += count;
  });
}

void Cursor::copy_from(const std::byte* from, size_t size) {
  advance(size, [&](std::byte* to, size_t count) {
    std::memcpy(to, from, count);
    from += count;
  });
}

void Cursor::fill_zero(size_t size) {
  advance(size, [](std::byte* to, size_t count) { std::memset(to, 0, count); });
}

std::span<const iovec> Cursor::take(size_t size) {
  taken_.clear();
  advance(size, [&](std::byte* piece, size_t count) { taken_.push_back({piece, count}); });
  return taken_;
}

}  // namespace alcove::storage
