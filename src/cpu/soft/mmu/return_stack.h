// Where translated code returns to. A guest's CALL is a call of the host, a guest's RET a return, so that the
// host's processor foresees it. For that the host's RSP is this stack's while translated code runs. What is
// returned to compares where the guest's RET leads with the guest's return address, and looks that up if it
// is another: code for one place in a window knows the address, for other code the call pushes it before the
// host's.
//
// It knows no more of pages than the JumpCache that it belongs to, so what is out of date there is forgotten
// here, too. That is always allowed, as is any other difference from the guest's stack: it only takes time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace alcove::cpu::soft {

class ReturnStack {
 public:
  static constexpr size_t kGuard = 4096, kSize = 64 << 10, kMemory = kGuard + kSize + kGuard;

  // `memory`: kMemory bytes, page-aligned.
  explicit ReturnStack(uint64_t memory);

  // RSP for translated code: where it was when that was left.
  uint64_t top() const { return top_; }
  void set_top(uint64_t top) { top_ = std::min(top, bottom()); }
  // What is returned to when the stack is empty; RSP is to become what it was before the return. Where
  // entries of windows and others were mixed and half of the stack was forgotten, half an entry may be left:
  // then it ends one place further on.
  void set_bottom(const uint8_t* code) {
    for (const uint64_t at : {bottom(), bottom() + 8}) *reinterpret_cast<const uint8_t**>(at) = code;
  }

  void clear() { top_ = bottom(); }
  // Forgets everything if anything would return into [begin, begin + size), guest's addresses.
  void clear_range(uint64_t begin, uint64_t size);

  // After a fault of the host's at this address: whether the stack was full. Half of it is forgotten then,
  // and `rsp` becomes where the rest is.
  bool make_room(uint64_t fault, uint64_t& rsp) const;

 private:
  uint64_t limit() const { return memory_ + kGuard; }
  uint64_t bottom() const { return limit() + kSize; }

  uint64_t memory_;
  uint64_t top_;
};

}  // namespace alcove::cpu::soft
