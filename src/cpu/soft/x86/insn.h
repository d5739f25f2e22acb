// A decoded instruction, as interpreter, translator and disassembler take it.
#pragma once

#include <cstdint>

namespace alcove::cpu::soft {

struct Cpu;
struct Insn;
struct Row;

// Executes one instruction. It commits nothing to registers or memory before everything that can fault has
// been done (raise() does not return), except where the architecture says otherwise (REP). Cpu::rip is
// already behind the block's last instruction: one that goes elsewhere (ends_block() in row.h) sets it.
using Handler = void (*)(Cpu&, const Insn&);

// Register numbers beyond the sixteen: Cpu::gpr has slots for them.
inline constexpr uint8_t kNoRegister = 16;   // Reads as zero.
inline constexpr uint8_t kRipRegister = 17;  // The address of the block's first instruction.

struct Insn {
  Handler handler = nullptr;
  uint64_t immediate = 0;  // Sign- or zero-extended as the instruction uses it; a branch's displacement.
  // For RIP-relative operands and relative branches already relative to the block's start.
  int64_t displacement = 0;
  const Row* row = nullptr;  // The instruction's entry in the table.
  uint8_t base = kNoRegister;
  uint8_t index = kNoRegister;
  uint8_t scale = 0;             // A shift: 0 to 3.
  uint8_t segment = 3;           // SegmentIndex of the memory operand, overrides and defaults (SS) applied.
  uint8_t reg = 0;               // ModRM.reg, extended; or the register of "+r" encodings.
  uint8_t rm = 0;                // ModRM.rm, extended, if is_register; of vector addresses their index.
  uint8_t operand_size = 4;      // In bytes: 1, 2, 4 or 8.
  uint8_t address_size = 8;      // In bytes: 2, 4 or 8.
  uint8_t length = 0;            // In bytes.
  bool is_register : 1 = false;  // ModRM.rm names a register, not memory.
  bool lock : 1 = false;
  bool rep : 1 = false;             // F3
  bool repne : 1 = false;           // F2
  bool rex : 1 = false;             // Any REX prefix: byte registers 4-7 are SPL, BPL, SIL, DIL.
  bool operand_prefix : 1 = false;  // 66
  bool wide : 1 = false;            // VEX.W
  uint8_t opcode = 0;               // The last opcode byte.
  uint8_t modrm = 0;
  uint16_t offset = 0;    // From the block's first instruction.
  uint32_t selector = 0;  // Far pointers: the selector; ENTER: the nesting level.
  // `reg` and `rm` as byte registers: where they are in Cpu::gpr, in bytes (AH is at 1 without REX).
  uint8_t reg_byte = 0;
  uint8_t rm_byte = 0;
  uint8_t vector_size = 0;  // Of instructions with a VEX prefix, by VEX.L: 16 or 32 bytes.
  uint8_t vvvv = 0;         // Their further register.
};

}  // namespace alcove::cpu::soft
