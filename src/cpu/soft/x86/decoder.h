// Bytes to Insn, by the instruction table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cpu/soft/x86/insn.h"
#include "cpu/soft/x86/row.h"

namespace alcove::cpu::soft {

// The default operand and address size, by CS.L and CS.D; the value is Cpu::code_size.
enum class CodeMode : uint8_t { bits16 = 2, bits32 = 4, bits64 = 8 };

enum class DecodeError : uint8_t {
  none,
  needs_more_bytes,
  invalid,   // #UD
  too_long,  // More than 15 bytes: #GP(0)
};

inline constexpr size_t kMaximumInsnLength = 15;

// Decodes the instruction at the beginning of `bytes`. `offset` is its distance from the block's first
// instruction. With `invalid` and `too_long`, `out` is an instruction that raises the exception, ends the
// block, and has the bytes read so far as its length; with `needs_more_bytes` (of fewer than 15) it is not
// meaningful. Checks that depend on more than the bytes and the mode (privilege, CR0) are the caller's, by
// the row's flags.
DecodeError decode(std::span<const uint8_t> bytes, CodeMode mode, uint16_t offset, Insn& out);

// Raise #UD and #GP(0) whatever the instruction: for decode errors and for checks that a block builder makes.
void execute_invalid_opcode(Cpu& cpu, const Insn& insn);
void execute_general_protection(Cpu& cpu, const Insn& insn);
// What Insn::row is after a decode error.
const Row& invalid_row();

}  // namespace alcove::cpu::soft
