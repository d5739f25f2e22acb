// What translated code keeps beside the processor's registers; part of Cpu.
#pragma once

#include <array>
#include <cstdint>

#include "cpu/soft/mmu/code_places.h"
#include "cpu/soft/mmu/window.h"

namespace alcove::cpu::soft {

struct Tlb;

struct TranslatedState {
  uint64_t host_rsp = 0;  // Of the C++ code that entered.
  uint64_t flags = 0;     // The arithmetic flags while they are not in the host's register: see below.
  uint64_t page = 0;      // Linear address of the page that is executed.
  uint64_t target = 0;    // Where the guest goes on, when translated code was left.
  uint64_t result = 0;    // What it leaves with, or where it is entered.
  uint64_t saved = 0;     // A value kept over one instruction's steps.
  uint64_t kept[2] = {};  // The guest's, while a routine uses their registers.
  uint64_t shadow = 0;    // Cpu::interrupt_shadow was set for the instruction at this address.
  void* cpu = nullptr;    // The Cpu's address in C++.

  // Tops of the ReturnStacks, while translated code does not run: that of the present privilege level, and,
  // always, the other one's.
  uint64_t returns = 0, other_returns = 0;
  uint64_t return_site = 0;  // What leave is to pass on of the RET that was executed last.

  // SYSCALL and SYSRET between 64-bit code of CPL 3 and CPL 0 (emit_calls.cpp). Not 0 if nothing but what
  // follows here is to be done.
  uint64_t fast_calls = 0;
  uint64_t changed_level = 0;  // Not 0: what update_mode() computes beside Cpu::tlb is out of date.
  struct Level {
    uint64_t gs_base = 0;  // Of the host.
    Tlb* tlb = nullptr;
    std::array<uint64_t, 4> segments{};  // CS and SS, as they are in Cpu::segments.
  };
  Level kernel, user;

  // Masks for PEXT: pages of the address space that code may reach, and parts of addresses.
  static constexpr uint64_t kLowerPages = 0x7fff'ffff'f000, kAllPages = 0xffff'ffff'f000;
  uint64_t lower_pages = kLowerPages;
  uint64_t all_pages = kAllPages;
  uint64_t window = Window::kMask;
  uint64_t upper_view = 0, upper_place = 0;  // UpperView::mask(), place_mask()
  uint64_t upper_jump = (uint64_t{1} << JumpCache::kUpperBits) - 1;
  uint64_t in_page = 0xfff, page_number = ~uint64_t{0xfff};
  uint64_t page_index = uint64_t{JumpCache::kPages - 1} << 12;  // In JumpCache::Rest.
  uint64_t place = (uint64_t{CodePlaces::kCount} - 1) << CodePlaces::kFirstBit;
  uint64_t jump_log = JumpCache::kLogLimit - 1;
  uint64_t sign = uint64_t{1} << 63;
  uint64_t direction = 1u << 10;                 // RFLAGS.DF
  uint64_t beyond_page = ~uint64_t{0x1fff};      // More elements than a page can have.
  uint64_t low_bits[6] = {1, 3, 7, 15, 31, 63};  // The first five by log2 of the access's size, less one.
  uint64_t not_canonical = ~uint64_t{0} << 47;   // Bits that are equal in a canonical address.
  uint64_t arithmetic = 0x8d5;                   // In RFLAGS.
  uint64_t interrupts = 1 << 9, no_interrupts = ~interrupts, upwards = ~uint64_t{1 << 10};
  uint64_t cr4_tsd = 1 << 2, cr4_fsgsbase = 1 << 16;

  // As LAHF and SETO leave them in AX, which is quicker than PUSHF and POPF.
  void set_flags(uint32_t arithmetic_flags) {
    flags = (arithmetic_flags & 0xff) << 8 | (arithmetic_flags >> 11 & 1);
  }
  uint32_t arithmetic_flags() const { return static_cast<uint32_t>((flags >> 8 & 0xd5) | (flags & 1) << 11); }
};

}  // namespace alcove::cpu::soft
