#include "cpu/soft/x86/undefined.h"

#include <string_view>

#include "cpu/soft/x86/flags.h"
#include "cpu/soft/x86/row.h"
#include "cpu/x86_state.h"

namespace alcove::cpu::soft {
namespace {

// Shifts and rotates take their count from CL, an immediate or the opcode.
unsigned shift_count(const Insn& insn, const std::array<uint64_t, 16>& gpr) {
  const std::string_view operands = insn.row->operands;
  uint64_t count = insn.immediate;
  if (operands.ends_with("CL"))
    count = gpr[rcx];
  else if (operands.ends_with("1"))
    count = 1;
  return count & (insn.operand_size == 8 ? 63 : 31);
}

bool is_any_of(std::string_view name, std::initializer_list<std::string_view> names) {
  for (const std::string_view each : names)
    if (each == name) return true;
  return false;
}

}  // namespace

Undefined undefined_results(const Insn& insn, const std::array<uint64_t, 16>& gpr) {
  const std::string_view name = insn.row->mnemonic;
  Undefined undefined{.flags = insn.row->effects.undefined};
  const bool rotates = is_any_of(name, {"rol", "ror", "rcl", "rcr"});
  const bool shifts = is_any_of(name, {"shl", "shr", "sar"});
  const bool double_shifts = is_any_of(name, {"shld", "shrd"});
  if (rotates || shifts || double_shifts) {
    // SDM vol. 2, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD: a count of 0 changes no flag; OF is defined
    // for a count of 1 only.
    const unsigned count = shift_count(insn, gpr);
    if (count == 0) return {};
    if (count != 1) undefined.flags |= kOf;
    // CF of SHL and SHR by the operand's width or more.
    if (shifts && count >= 8u * insn.operand_size) undefined.flags |= kCf;
    // SHLD and SHRD by more than the operand's width: everything.
    if (double_shifts && count > 8u * insn.operand_size) undefined.destination = true;
  }
  // SDM vol. 2, BSWAP: of a 16-bit register.
  if (name == "bswap" && insn.operand_size == 2) undefined.destination = true;
  return undefined;
}

}  // namespace alcove::cpu::soft
