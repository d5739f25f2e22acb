// Whole transfers from system calls that may do less than asked.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "storage/image_file.h"

namespace alcove::storage {

enum class Direction { read, write };

struct TransferOptions {
  int flags = 0;  // RWF_…
  // A file that ends early was truncated behind our back, EIO; or the rest reads as zeroes.
  PastEnd past_end = PastEnd::error;
};

// preadv2/pwritev2 until all buffers are done.
IoResult transfer(int fd, Direction direction, uint64_t offset, std::span<const iovec> buffers,
                  const TransferOptions& options = {});

uint64_t total_size(std::span<const iovec> buffers);

// Goes through scattered buffers piece by piece.
class Cursor {
 public:
  explicit Cursor(std::span<const iovec> buffers) : buffers_(buffers) {}
  void copy_to(std::byte* to, size_t size);
  void copy_from(const std::byte* from, size_t size);
  void fill_zero(size_t size);
  // The next `size` bytes as buffers, and goes past them. The result is valid until the next call.
  std::span<const iovec> take(size_t size);

 private:
  template <class Copy>
  void advance(size_t size, Copy copy);
  std::span<const iovec> buffers_;
  size_t used_ = 0;  // Of the first buffer.
  std::vector<iovec> taken_;
};

struct FreeDeleter {
  void operator()(std::byte* memory) const { std::free(memory); }
};
using AlignedBuffer = std::unique_ptr<std::byte, FreeDeleter>;

// Null if the host has no memory. `size` is a multiple of `alignment`.
inline AlignedBuffer allocate_aligned(size_t alignment, size_t size) {
  return AlignedBuffer(static_cast<std::byte*>(std::aligned_alloc(alignment, size)));
}

}  // namespace alcove::storage
