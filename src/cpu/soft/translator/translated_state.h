// What translated code keeps beside the processor's registers; part of Cpu.
#pragma once

#include <cstdint>

#include "cpu/soft/mmu/window.h"

namespace alcove::cpu::soft {

struct TranslatedState {
  uint64_t host_rsp = 0;  // Of the C++ code that entered.
  uint64_t flags = 0;     // The host's RFLAGS while they are not in the register.
  uint64_t page = 0;      // Linear address of the page that is executed.
  uint64_t target = 0;    // Where the guest goes on, when translated code was left.
  uint64_t result = 0;    // What it leaves with, or where it is entered.
  uint64_t saved = 0;     // A value kept over one instruction's steps.
  void* cpu = nullptr;    // The Cpu's address in C++.

  // Masks for PEXT: pages of the address space that code may reach, and parts of addresses.
  static constexpr uint64_t kLowerPages = 0x7fff'ffff'f000, kAllPages = 0xffff'ffff'f000;
  uint64_t lower_pages = kLowerPages;
  uint64_t all_pages = kAllPages;
  uint64_t window = Window::kMask;
  uint64_t upper_jump = (uint64_t{1} << JumpCache::kUpperBits) - 1;
  uint64_t in_page = 0xfff;
  uint64_t sign = uint64_t{1} << 63;
  uint64_t direction = 1u << 10;             // RFLAGS.DF
  uint64_t beyond_page = ~uint64_t{0x1fff};  // More elements than a page can have.
  uint64_t low_bits[5] = {1, 3, 7, 15, 31};  // By log2 of the access's size, less one.
};

}  // namespace alcove::cpu::soft
