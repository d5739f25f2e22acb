// How each row of the instruction table is translated.
#pragma once

#include <cstdint>

#include "cpu/soft/x86/insn.h"
#include "cpu/soft/x86/row.h"

namespace alcove::cpu::soft {

enum class Way : uint8_t {
  handler,  // By the interpreter.
  plain,    // By the same instruction of the host with other registers and addresses.
  vex,      // Likewise, with a VEX prefix (emit_vector.cpp).
  nothing,
  lea,
  push_register,
  push_immediate,
  push_memory,
  pop_register,
  leave,
  divide,
  repeat_movs,
  repeat_stos,
  call_relative,
  call_indirect,
  jump_relative,
  jump_if,
  jump_if_counted,  // By RCX, which LOOP counts down.
  jump_indirect,
  near_return,
  // emit_system.cpp
  clear_interrupt_flag,
  set_interrupt_flag,
  clear_direction_flag,
  push_flags,
  swap_gs,
  serialize,
  read_fs_base,
  read_gs_base,
  write_fs_base,
  write_gs_base,
  read_time,
  read_time_and_processor,
  read_control,
  read_selector,
  // emit_calls.cpp
  system_call,
  system_return,
};

// What an instruction accesses on the stack: below RSP, at RSP, or at RBP; or a string at RDI.
enum class StackUse : uint8_t { none, push, pop, frame, destination };
// What its memory operand is. The address of a bit string's word depends on the number of the bit, too; a
// string's source is at RSI.
enum class OperandUse : uint8_t { none, plain, bit_string, source };

// What ModRM.reg, or the register in the opcode, or ModRM.rm stands for.
enum class Role : uint8_t { none, general, vector };

// Sizes in a Plan that are the instruction's own: the operand size (of immediates at most 4), the operand
// size whatever it is, and twice the operand size.
inline constexpr uint8_t kBySize = 255, kWhole = 254, kPair = 253;
// The size of the vector or a part of it.
inline constexpr uint8_t kVector = 252, kHalfVector = 251, kFourthVector = 250, kEighthVector = 249;

struct Plan {
  Way way = Way::handler;
  Role reg = Role::none;
  Role rm = Role::none;
  Role vvvv = Role::none;
  bool opcode_register = false;  // `reg` is in the opcode's low bits.
  bool rm_first = false;         // ModRM.rm is the first operand, usually the destination.
  bool vvvv_first = false;       // Or the register in VEX.vvvv is.
  bool zeroes_upper = false;     // The upper halves of all vectors.
  bool writes_first = false;
  bool writes_second = false;
  bool count_in_cl = false;
  bool aligned = false;  // Memory must be aligned to its size.
  bool goes_on = false;  // The interpreter's blocks end with it, but control goes on behind it.
  bool result_in_rcx = false;
  bool exchanges_pair = false;  // Uses RCX and RBX.
  bool shifts = false;          // SHL and the like: by a count of 0 they change no flags.
  bool rotates = false;
  bool sse = false, avx = false;  // As the row's flags say.
  bool locks = false;             // XCHG with memory does so without a prefix.
  bool string_indexed = false;    // In memory a bit number in a register is part of the address.
  uint8_t map = 0;
  uint8_t mandatory = 0;                // F2 or F3, if it selects the row.
  bool mandatory_operand_size = false;  // 66 does.
  uint8_t immediate = 0;                // Bytes, kBySize or kWhole.
  uint8_t memory_size = 0;              // Bytes, or one of the above.
  uint16_t reads = 0;                   // Flags.
  uint16_t kills = 0;                   // Flags that are certainly other ones afterwards.
};

const Plan& plan_of(const Row& row);
StackUse stack_use(const Plan& plan);
OperandUse operand_use(const Plan& plan, const Insn& insn);

// Whether ModRM.reg or ModRM.rm is a general register's byte.
bool is_byte_reg(const Plan& plan, const Insn& insn);
bool is_byte_rm(const Plan& plan, const Insn& insn);
// Whether that is AH, CH, DH or BH. The number is that of RSP to RDI then.
bool is_high_byte_reg(const Plan& plan, const Insn& insn);
bool is_high_byte_rm(const Plan& plan, const Insn& insn);

// Whether control may go on with what is next in memory without a branch having been decided. (Repeated
// string instructions that are interrupted leave by themselves.)
bool goes_on(const Insn& insn);

// Flags that the instruction certainly gives new values, which for shifts depends on the count.
uint16_t killed_flags(const Plan& plan, const Insn& insn);

}  // namespace alcove::cpu::soft
