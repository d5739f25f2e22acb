// Where the code of indirect and far jumps is: for each value of the low bits of a linear address the one
// place with such an address that was jumped to last. Translated code looks it up in two arrays: the negated
// address first, so that a sum of 0 means a hit, then the code. What is not there it may find by itself if it
// has jumped to the page before: behind the arrays it has where the page is in physical memory, by which
// CodePlaces know code.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cpu/soft/mmu/direct_jumps.h"
#include "cpu/soft/mmu/return_stack.h"

namespace alcove::cpu::soft {

class JumpCache {
 public:
  // How many bits of the address count.
  static constexpr unsigned kLowerBits = 16, kUpperBits = 18;
  static constexpr size_t size(unsigned bits) { return (size_t{2 * 8} << bits) + sizeof(Rest); }
  // Distance of the second array from the first.
  static constexpr int32_t codes(unsigned bits) { return 8 << bits; }
  // What translated code reads and writes behind the arrays.
  static constexpr size_t kPages = 2048, kLogLimit = 1 << 14;
  struct alignas(4096) Rest {
    std::array<uint64_t, kPages> page_tags;       // The negated number of the page.
    std::array<uint64_t, kPages> physical_pages;  // Its address.
    uint64_t log_count;                           // What the log would have if it listed all.
    std::array<uint32_t, kLogLimit> log;          // Indexes in use; if too many to list, all may be.
  };
  static constexpr int32_t rest(unsigned bits) { return 16 << bits; }

  // `memory`: size(bits) bytes, all 0. `returns`: the ReturnStack's.
  JumpCache(uint64_t memory, unsigned bits, uint64_t returns)
      : tags_(reinterpret_cast<uint64_t*>(memory)),
        count_(size_t{1} << bits),
        rest_(*reinterpret_cast<Rest*>(memory + static_cast<uint64_t>(rest(bits)))),
        returns_(returns) {
    renew();
  }

  void add(uint64_t address, const uint8_t* code);
  // The page of the linear address is this one of physical memory.
  void add_page(uint64_t address, uint64_t physical);
  // Forgets the ways to this code, whose address is a multiple of 4 KiB plus `offset`.
  void remove(uint64_t offset, const uint8_t* code);
  // Forgets those into this page, also by an instruction that begins in the page before.
  void clear_page(uint64_t page);
  void clear();
  // The memory was given back and reads as 0.
  void renew();

  // Whether nothing was added since clear().
  bool empty() const { return rest_.log_count == 0; }

  ReturnStack& returns() { return returns_; }
  DirectJumps& direct() { return direct_; }

 private:
  void clear_pages();
  // The tag of no place with this index, as 0 would be address 0's.
  static uint64_t none(size_t index) { return index == 0; }

  uint64_t* tags_;
  size_t count_;
  Rest& rest_;
  ReturnStack returns_;
  DirectJumps direct_;
};

}  // namespace alcove::cpu::soft
