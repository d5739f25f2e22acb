#include "cpu/soft/mmu/return_stack.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

namespace alcove::cpu::soft {
namespace {

struct Entry {
  uint64_t host;
  uint64_t guest;
};

}  // namespace

ReturnStack::ReturnStack(uint64_t memory) : memory_(memory), top_(bottom()) {
  // Without the guard calls would write over what lies below.
  if (mprotect(reinterpret_cast<void*>(memory), kGuard, PROT_NONE) != 0) std::abort();
}

void ReturnStack::clear_range(uint64_t begin, uint64_t size) {
  for (uint64_t at = top_; at < bottom(); at += sizeof(Entry)) {
    if (reinterpret_cast<const Entry*>(at)->guest - begin < size) return clear();
  }
}

bool ReturnStack::make_room(uint64_t fault, uint64_t& rsp) const {
  if (fault - memory_ >= kGuard || rsp != limit()) return false;
  constexpr size_t kKept = kSize / 2;
  rsp = bottom() - kKept;
  std::memcpy(reinterpret_cast<void*>(rsp), reinterpret_cast<const void*>(limit()), kKept);
  return true;
}

}  // namespace alcove::cpu::soft
