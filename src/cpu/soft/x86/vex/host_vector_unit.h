// Runs instructions of vector registers on the host's processor, one at a time: what they compute, and which
// flags they set in MXCSR, is the processor's own.
//
// Each form of an instruction becomes a few bytes of code of its own, always with the same registers and with
// its memory operand in HostVectorOperands; that code is kept.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

struct HostVectorOperands {
  // The registers that the instruction's fields are made to name, below kImplicit.
  enum Field : uint8_t { kImplicit, kReg, kVvvv, kRm, kSelected };
  static constexpr size_t kFields = 5;

  std::array<FpuState::Vector256, kFields> vectors;
  alignas(64) std::array<std::byte, 32> memory;
  // RAX, RCX, RDX and RBX: general registers by the same numbers, but that RDX is never named.
  std::array<uint64_t, 4> general;
  uint64_t flags;  // The arithmetic flags.
};

// What distinguishes one piece of code from another.
struct HostVectorForm {
  bool vex = true;
  uint8_t map = 1;        // 1: 0F, 2: 0F 38, 3: 0F 3A
  uint8_t mandatory = 0;  // As VEX.pp
  uint8_t opcode = 0;
  bool l = false, w = false;
  bool uses_vvvv = false;
  bool memory = false;
  uint8_t reg = HostVectorOperands::kReg;  // Or the opcode's digit.
  bool has_immediate = false;
  uint8_t immediate = 0;
};

// False if the host does not let us make code. MXCSR is the caller's affair.
bool run_on_host(const HostVectorForm& form, HostVectorOperands& operands);

}  // namespace alcove::cpu::soft
