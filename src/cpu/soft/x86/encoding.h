// The table's strings in a form that programs can use. Parsed once, when the decoder is first used.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "cpu/soft/x86/row.h"

namespace alcove::cpu::soft {

// A mandatory prefix: which prefix bytes select the row.
enum class Prefix : uint8_t { none, operand_size, f3, f2, any };
enum class OpcodeMap : uint8_t {
  one_byte,
  two_byte,
  three_byte_38,
  three_byte_3a,
  vex_0f,
  vex_0f38,
  vex_0f3a,
};
inline constexpr size_t kOpcodeMaps = 7;
constexpr bool is_vex(OpcodeMap map) {
  return map >= OpcodeMap::vex_0f;
}
enum class Form : uint8_t { any, memory, reg };

// Which bytes select a row.
struct Pattern {
  Prefix prefix = Prefix::any;
  OpcodeMap map = OpcodeMap::one_byte;
  uint8_t opcode = 0;
  uint8_t opcode_count = 1;  // 8 for "+r", 16 for "+cc".
  bool modrm = false;
  int8_t digit = -1;  // ModRM.reg, if it is part of the opcode.
  int8_t rm = -1;     // ModRM.rm, likewise.
  int8_t vex_l = -1;  // VEX.L and VEX.W, likewise.
  int8_t vex_w = -1;
  Form form = Form::any;
};

enum class OperandKind : uint8_t {
  modrm_reg,        // G: general register in ModRM.reg
  modrm_rm,         // E: general register or memory
  memory,           // M
  modrm_rm_reg,     // R: general register in ModRM.rm, which never means memory
  opcode_register,  // Z: in the opcode's low bits and REX.B
  immediate,        // I
  signed_byte,      // sIb
  relative,         // J
  far_pointer,      // A
  moffs,            // O
  segment,          // S: segment register in ModRM.reg
  control,          // C
  debug,            // D
  xmm_reg,          // V
  xmm_rm,           // W
  xmm_rm_reg,       // U
  xmm_vvvv,         // H: in VEX.vvvv
  xmm_immediate,    // L: in the upper half of an immediate byte
  modrm_vector,     // K: vector of addresses, whose index is an XMM register
  vvvv,             // B: general register in VEX.vvvv
  mmx_reg,          // P
  mmx_rm,           // Q
  mmx_rm_reg,       // N
  string_source,    // X: segment:rSI
  string_target,    // Y: ES:rDI
  fixed,            // A general register
  fixed_segment,
  fixed_xmm,
  x87_top,  // ST(0)
  x87_rm,   // ST(i), i in ModRM.rm
  one,      // The constant 1
};

struct Operand {
  OperandKind kind = OperandKind::fixed;
  std::string size;    // The letters behind the kind: "b", "w", "v", "z", "y", "dq"…
  uint8_t number = 0;  // Of a fixed register; AH-BH are 4-7 with size "h".
};

// Where Insn::operand_size comes from.
enum class SizeRule : uint8_t {
  prefixes,  // 66, REX.W and the mode
  byte,
  rex,        // 8 with REX.W, else 4: 66 says something else, or nothing
  at_most_4,  // As `prefixes`, 8 counting as 4: port I/O
};

enum class ImmediateRule : uint8_t {
  none,
  byte,
  signed_byte,
  word,
  z,  // 2 or 4 bytes, sign-extended
  v,  // 2, 4 or 8 bytes
  word_and_byte,
  two_bytes,
  far_pointer,
  moffs,
};

struct CompiledRow {
  const Row* row = nullptr;
  Pattern pattern;
  std::vector<Operand> operands;
  SizeRule size = SizeRule::prefixes;
  ImmediateRule immediate = ImmediateRule::none;
  bool uses_vvvv = false;
  bool ignores_mod = false;  // ModRM.mod counts as 3 whatever it is: moves to and from control registers.
};

// The cause if the row is malformed.
std::expected<CompiledRow, std::string> compile(const Row& row);

// All rows of all groups. A malformed row is a programming error and ends the process.
std::span<const CompiledRow> compiled_rows();

// In bytes; 0 if the operand has no size worth a name.
unsigned size_of(const Operand& operand, const Insn& insn);

// The mnemonic of the decoded form: rows whose name depends on the operand size list the names for 2, 4 and 8
// bytes, separated by '|'.
std::string mnemonic(const Insn& insn);

}  // namespace alcove::cpu::soft
