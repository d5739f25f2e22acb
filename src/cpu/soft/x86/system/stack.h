// A stack that far transfers and event delivery build or take apart before they commit anything.
#pragma once

#include <cstdint>

#include "cpu/soft/mmu/access.h"
#include "cpu/soft/x86/system/segments.h"

namespace alcove::cpu::soft {

class Stack {
 public:
  // The present one.
  explicit Stack(Cpu& cpu) : Stack(cpu, cpu.segments[ss], cpu.gpr[rsp], cpu.stack_size, cpu.cpl, 0) {}
  // One to switch to, of privilege level `cpl`, with stack pointers of `size` bytes; #SS has `error_code`.
  Stack(Cpu& cpu, const Segment& segment, uint64_t pointer, unsigned size, unsigned cpl, uint32_t error_code)
      : cpu_(cpu),
        segment_(segment),
        pointer_(pointer),
        size_(size),
        system_(cpl != cpu.cpl),
        error_code_(error_code) {}

  template <class T>
  void push(uint64_t value) {
    const uint64_t next = advance(-static_cast<int64_t>(sizeof(T)));
    const uint64_t address = check(next, sizeof(T));
    if (system_)
      store_system<T>(cpu_, address, static_cast<T>(value));
    else
      store<T>(cpu_, address, static_cast<T>(value));
    pointer_ = next;
  }
  // `size`: 2, 4 or 8.
  void push(uint64_t value, unsigned size) {
    if (size == 8)
      push<uint64_t>(value);
    else if (size == 4)
      push<uint32_t>(value);
    else
      push<uint16_t>(value);
  }

  template <class T>
  T pop() {
    const T value = load<T>(cpu_, check(pointer_, sizeof(T)));
    pointer_ = advance(sizeof(T));
    return value;
  }
  uint64_t pop(unsigned size) {
    if (size == 8) return pop<uint64_t>();
    return size == 4 ? pop<uint32_t>() : pop<uint16_t>();
  }

  void skip(uint64_t bytes) { pointer_ = advance(static_cast<int64_t>(bytes)); }

  // What RSP becomes.
  uint64_t pointer() const { return pointer_; }

 private:
  uint64_t advance(int64_t bytes) const {
    const uint64_t next = pointer_ + static_cast<uint64_t>(bytes);
    if (size_ == 8) return next;
    if (size_ == 4) return static_cast<uint32_t>(next);
    return (pointer_ & ~uint64_t{0xffff}) | static_cast<uint16_t>(next);
  }
  uint64_t check(uint64_t pointer, size_t bytes) const {
    if (size_ == 8) {
      if (!is_canonical(pointer) || !is_canonical(pointer + bytes - 1)) raise(cpu_, kStackFault, error_code_);
      return pointer;
    }
    const uint64_t offset = size_ == 4 ? static_cast<uint32_t>(pointer) : static_cast<uint16_t>(pointer);
    if (!within_limit(segment_, offset, bytes)) raise(cpu_, kStackFault, error_code_);
    return static_cast<uint32_t>(segment_.base + offset);
  }

  Cpu& cpu_;
  const Segment segment_;
  uint64_t pointer_;
  unsigned size_;
  bool system_;  // Accessed with supervisor rights whatever the present CPL.
  uint32_t error_code_;
};

inline unsigned stack_size_of(const Segment& segment) {
  return segment.big() ? 4 : 2;
}

}  // namespace alcove::cpu::soft
