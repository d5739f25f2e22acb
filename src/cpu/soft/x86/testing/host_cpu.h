// Executes single instructions on the host's processor, in this process, with all registers under control.
//
// Entering and leaving both go through signals: the handler of a breakpoint exchanges this thread's registers
// for the test's, and that of the next trap or fault exchanges them back. One thread at a time.
#pragma once

#include <signal.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "cpu/soft/x86/testing/cpu_state.h"

namespace alcove::cpu::soft::testing {

class HostCpu {
 public:
  // For code of `code_size` (8, 4 or 2). Null with an explanation if this host can't (not x86-64, the
  // addresses of layout.h are taken, or no such segments).
  static std::unique_ptr<HostCpu> create(unsigned code_size, const char*& reason);
  ~HostCpu();
  HostCpu(const HostCpu&) = delete;
  HostCpu& operator=(const HostCpu&) = delete;

  // The memory of layout.h as the host has it; `address` must be mapped there.
  std::byte* memory(uint64_t address) const { return memory_ + (address - memory_address_); }
  // Puts `code` at kStart with breakpoints around it.
  void set_code(std::span<const uint8_t> code);
  // Executes one instruction at before.rip. A breakpoint behind it, or a fetch that faults, is its normal
  // end.
  Result run(const CpuState& before);
  // Whether the processor gets as far as the first instruction. Where the host's kernel is a guest without
  // the hardware's help, its hypervisor refuses some states: stack pointers that are not canonical,
  // compatibility mode. Changes the code.
  bool can_begin(const CpuState& before);

 private:
  HostCpu() = default;

  std::byte* memory_ = nullptr;  // An alias of what is at the fixed addresses, writable throughout.
  uint64_t memory_address_ = 0;
  int file_ = -1;
  std::unique_ptr<std::byte[]> signal_stack_;
  stack_t former_stack_{};
};

}  // namespace alcove::cpu::soft::testing
