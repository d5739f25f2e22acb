// Instructions with a VEX prefix, which the host executes itself: vectors in the same registers, general
// registers in others.
#include "cpu/soft/translator/emitter.h"

namespace alcove::cpu::soft {
namespace {

unsigned memory_size(const Plan& plan, const Insn& insn) {
  switch (plan.memory_size) {
    case kBySize:
      return insn.operand_size;
    case kVector:
      return insn.vector_size;
    case kHalfVector:
      return insn.vector_size / 2u;
    case kFourthVector:
      return insn.vector_size / 4u;
    case kEighthVector:
      return insn.vector_size / 8u;
    default:
      return plan.memory_size;
  }
}

}  // namespace

// Common code saves and loads the upper halves only if they are in use. Once in each part is enough, as long
// as nothing clears the mark.
void BlockEmitter::mark_upper_halves(bool in_use) {
  if (upper_marked_ && in_use) return;
  a_.op({.opcode = 0xc6}, 0, ALCOVE_CPU_MEMBER(fpu.upper_in_use));
  a_.byte(in_use);
  upper_marked_ = in_use;
}

void BlockEmitter::vex(const Insn& insn, const Plan& plan) {
  const bool in_memory = plan.rm != Role::none && !insn.is_register;
  // Registers without one of the host's get RCX and RBP for the moment; a memory operand leaves them RCX, and
  // RBP for a result.
  struct Operand {
    bool used;
    unsigned guest;
    bool written;
  };
  const bool rm_used = plan.rm == Role::general && !in_memory;
  const Operand operands[] = {
      {plan.reg == Role::general, insn.reg, !plan.rm_first && !plan.vvvv_first},
      {plan.vvvv == Role::general, insn.vvvv, plan.vvvv_first || plan.writes_second},
      {rm_used, insn.rm, plan.rm_first},
  };
  std::array<unsigned, 2> held{kNoRegister, kNoRegister};
  unsigned count = 0;
  for (const Operand& operand : operands) {
    if (!operand.used || host(operand.guest) != kNoHostRegister) continue;
    if (operand.guest == held[0] || operand.guest == held[1]) continue;
    if (count == (in_memory && !plan.writes_second ? 1 : 2)) return by_handler(insn);
    held[count++] = operand.guest;
  }

  // Before what may refuse: the handler takes the instruction from there, and does not mark what it makes
  // zero.
  const bool writes_vector =
      plan.rm_first ? plan.rm == Role::vector && !in_memory
                    : (plan.vvvv_first ? plan.vvvv : plan.reg) == Role::vector && plan.writes_first;
  if (insn.vector_size == 32 && writes_vector) mark_upper_halves(true);
  HostMemory memory;
  if (in_memory) {
    const Unaligned unaligned = plan.aligned ? Unaligned::refuse : Unaligned::check_page;
    memory = memory_operand(insn, memory_size(plan, insn), plan.rm_first, unaligned, count != 0);
  }
  constexpr HostRegister kScratch[] = {kWord, kAddress};
  for (unsigned i = 0; i < count; ++i) {
    clobber(kScratch[i]);
    // MULX, which has two results, reads neither's register.
    if (!plan.writes_second || (rm_used && held[i] == insn.rm)) a_.load(kScratch[i], gpr_slot(held[i]));
  }
  const auto general = [&](unsigned guest) {
    if (host(guest) != kNoHostRegister) return host(guest);
    return held[0] == guest ? kScratch[0] : kScratch[1];
  };
  const auto number = [&](Role role, unsigned guest) {
    return role == Role::general ? general(guest) : static_cast<HostRegister>(guest);
  };

  const HostOpcode opcode{.opcode = insn.opcode,
                          .map = plan.map,
                          .wide = insn.wide,
                          .operand_size = plan.mandatory_operand_size,
                          .mandatory = plan.mandatory,
                          .vex = true,
                          .l = insn.vector_size == 32,
                          .vvvv = plan.vvvv == Role::none ? kHostRax : number(plan.vvvv, insn.vvvv)};
  const unsigned reg = plan.reg == Role::none ? insn.modrm >> 3 & 7u : unsigned{number(plan.reg, insn.reg)};
  if (plan.result_in_rcx) clobber(kWord);
  if (plan.rm == Role::none) {
    a_.op_plain(opcode);
  } else if (in_memory) {
    note_access();
    a_.op(opcode, reg, memory);
  } else {
    a_.op(opcode, reg, number(plan.rm, insn.rm));
  }
  immediate(insn, plan);
  if (plan.zeroes_upper) mark_upper_halves(false);
  if (plan.result_in_rcx) a_.move(kGuestRcx, kHostRcx);
  for (unsigned i = 0; i < count; ++i)
    for (const Operand& operand : operands)
      if (operand.used && operand.written && operand.guest == held[i])
        a_.store(gpr_slot(operand.guest), kScratch[i]);
}

}  // namespace alcove::cpu::soft
