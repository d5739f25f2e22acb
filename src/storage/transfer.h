// Whole transfers from system calls that may do less than asked.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "storage/disk.h"

namespace alcove::storage {

enum class Direction { read, write };

// preadv2/pwritev2 with `flags` (RWF_…) until all buffers are done. A file that ends early (it was truncated
// behind our back) is EIO.
IoResult transfer(int fd, Direction direction, uint64_t offset, std::span<const iovec> buffers,
                  int flags = 0);

uint64_t total_size(std::span<const iovec> buffers);

// Goes through scattered buffers piece by piece.
class Cursor {
 public:
  explicit Cursor(std::span<const iovec> buffers) : buffers_(buffers) {}
  void copy_to(std::byte* to, size_t size);
  void copy_from(const std::byte* from, size_t size);

 private:
  template <class Copy>
  void advance(size_t size, Copy copy);
  std::span<const iovec> buffers_;
  size_t used_ = 0;  // Of the first buffer.
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
