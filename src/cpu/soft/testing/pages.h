// Memory of whole pages, for what changes its protection.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace alcove::cpu::soft::testing {

class Pages {
 public:
  explicit Pages(size_t size)
      : size_(size), begin_(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (begin_ == MAP_FAILED) std::abort();
  }
  ~Pages() { munmap(begin_, size_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  uint64_t begin() const { return reinterpret_cast<uint64_t>(begin_); }

 private:
  size_t size_;
  void* begin_;
};

}  // namespace alcove::cpu::soft::testing
