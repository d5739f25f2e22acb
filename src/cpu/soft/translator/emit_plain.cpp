// Instructions that the host executes itself, with other registers and addresses.
#include <algorithm>
#include <string_view>

#include "cpu/soft/translator/emitter.h"

namespace alcove::cpu::soft {
namespace {

unsigned memory_size(const Plan& plan, const Insn& insn) {
  if (plan.memory_size == kPair)
    return plan.exchanges_pair ? 2 * std::max<unsigned>(insn.operand_size, 4) : 0;
  return plan.memory_size == kBySize ? insn.operand_size : plan.memory_size;
}

// Whether the instruction's REX prefix had W. Only one that nothing but the opcode follows counts.
bool has_rex_w(std::span<const uint8_t> code) {
  uint8_t rex = 0;
  for (const uint8_t byte : code) {
    constexpr uint8_t kPrefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};
    if ((byte & 0xf0) == 0x40)
      rex = byte;
    else if (std::ranges::find(kPrefixes, byte) != std::end(kPrefixes))
      rex = 0;
    else
      break;
  }
  return rex & 8;
}

// What the first operand, a register, had before plays no part.
bool replaces_first(const Insn& insn) {
  constexpr std::string_view kReplacing[] = {"mov",   "movzx",  "movsx", "movsxd",
                                             "movbe", "popcnt", "tzcnt", "lzcnt"};
  return insn.operand_size >= 4 && std::ranges::find(kReplacing, insn.row->mnemonic) != std::end(kReplacing);
}

}  // namespace

HostOpcode BlockEmitter::host_opcode(const Insn& insn, const Plan& plan) const {
  return {.opcode = insn.opcode,
          .map = plan.map,
          .wide = has_rex_w(code_of(insn)),
          .operand_size = plan.mandatory_operand_size ||
                          (insn.operand_prefix && insn.operand_size == 2 && !(insn.row->flags & kSse)),
          .mandatory = plan.mandatory,
          .lock = insn.lock};
}

void BlockEmitter::immediate(const Insn& insn, const Plan& plan) {
  const size_t size = plan.immediate == kBySize  ? (insn.operand_size == 2 ? 2 : 4)
                      : plan.immediate == kWhole ? insn.operand_size
                                                 : plan.immediate;
  a_.bytes(code_of(insn).last(size));
}

void BlockEmitter::plain(const Insn& insn, const Plan& plan) {
  const bool general_rm = plan.rm == Role::general;
  const bool in_memory = plan.rm != Role::none && !insn.is_register;
  const unsigned size = in_memory ? memory_size(plan, insn) : 0;
  if (in_memory && (size == 0 || size > 16)) return by_handler(insn);
  if (in_memory && plan.string_indexed) return bit_in_memory(insn);

  // What registers stand for bytes depends on the REX prefix: AH to BH are there only without one.
  HostOpcode opcode = host_opcode(insn, plan);
  const bool byte_reg = is_byte_reg(plan, insn), byte_rm = is_byte_rm(plan, insn);
  const bool high_reg = is_high_byte_reg(plan, insn), high_rm = is_high_byte_rm(plan, insn);

  // Guest RCX, of which CH is a part, comes into RCX for the moment.
  const bool ch_reg = high_reg && insn.reg == 5, ch_rm = high_rm && insn.rm == 5;

  HostRegister reg = kNoHostRegister, rm = kNoHostRegister;
  if (high_reg || high_rm) {
    // The others have to do without REX, too.
    if (opcode.wide) return by_handler(insn);
    const auto fits = [&](unsigned guest, bool is_byte) {
      return host(guest) < kHostR8 && (!is_byte || host(guest) < kHostRsp);
    };
    if (plan.reg == Role::general && !high_reg && !fits(insn.reg, byte_reg)) return by_handler(insn);
    if (general_rm && insn.is_register && !high_rm && !fits(insn.rm, byte_rm)) return by_handler(insn);
    if (in_memory && !in_window() &&
        (insn.base != kRipRegister && insn.base != kNoRegister && insn.index == kNoRegister &&
         insn.displacement == 0 && host(insn.base) >= kHostR8 && host(insn.base) < kNoHostRegister))
      return by_handler(insn);
    if (plan.count_in_cl) return by_handler(insn);
  } else {
    opcode.byte_registers = byte_reg || byte_rm;
  }

  HostMemory operand;
  bool scratch_used = false;
  if (in_memory) {
    const bool write = plan.rm_first && plan.writes_first;
    const Unaligned unaligned = plan.aligned || insn.lock || plan.exchanges_pair || plan.locks
                                    ? Unaligned::refuse
                                    : Unaligned::check_page;
    const bool needs_word = plan.count_in_cl || plan.exchanges_pair || ch_reg ||
                            (plan.reg == Role::general && !high_reg && host(insn.reg) == kNoHostRegister);
    operand = memory_operand(insn, size, write, unaligned, needs_word);
  }

  // Operands that have no register get one for the moment.
  bool store_reg = false, store_rm = false;
  if (plan.reg == Role::general) {
    reg = high_reg ? static_cast<HostRegister>(insn.reg) : host(insn.reg);
    if (reg == kNoHostRegister) {
      if (plan.count_in_cl) {
        if (in_memory || (insn.is_register && host(insn.rm) == kNoHostRegister)) return by_handler(insn);
        reg = kAddress;
      } else {
        reg = kWord;
      }
      clobber(reg);
      const bool is_first = !plan.rm_first;
      const bool is_both = general_rm && insn.is_register && insn.reg == insn.rm;
      if (!is_first || is_both || !replaces_first(insn)) a_.load(reg, gpr_slot(insn.reg));
      scratch_used = true;
      store_reg = is_first ? plan.writes_first : plan.writes_second;
    }
  } else if (plan.reg == Role::vector) {
    reg = static_cast<HostRegister>(insn.reg);
  } else {
    reg = static_cast<HostRegister>(insn.modrm >> 3 & 7);
  }
  if (plan.rm == Role::general && insn.is_register) {
    rm = high_rm ? static_cast<HostRegister>(insn.rm) : host(insn.rm);
    if (rm == kNoHostRegister) {
      const bool same = plan.reg == Role::general && insn.reg == insn.rm && scratch_used;
      rm = same ? reg : kAddress;
      clobber(rm);
      if (!same && (!plan.rm_first || !replaces_first(insn))) a_.load(rm, gpr_slot(insn.rm));
      store_rm = plan.rm_first ? plan.writes_first : plan.writes_second;
      if (same) {
        store_reg |= store_rm;
        store_rm = false;
      }
    }
  } else if (plan.rm == Role::vector && insn.is_register) {
    rm = static_cast<HostRegister>(insn.rm);
  }
  const bool rcx_read = plan.count_in_cl || plan.exchanges_pair || ch_reg || ch_rm;
  const bool rcx_written = plan.result_in_rcx ||
                           (ch_reg && (plan.rm_first ? plan.writes_second : plan.writes_first)) ||
                           (ch_rm && (plan.rm_first ? plan.writes_first : plan.writes_second));
  if (rcx_read || rcx_written) clobber(kWord);
  if (rcx_read) a_.move(kHostRcx, kGuestRcx);

  if (in_memory) {
    note_access();
    a_.op(opcode, reg, operand);
  } else if (plan.rm != Role::none) {
    a_.op(opcode, reg, rm);
  } else if (plan.opcode_register) {
    opcode.opcode &= 0xf8;
    a_.op_plus(opcode, reg);
  } else {
    a_.op_plain(opcode);
    if (insn.modrm != 0) a_.byte(insn.modrm);
  }
  immediate(insn, plan);
  if (rcx_written) a_.move(kGuestRcx, kHostRcx);
  if (store_reg) a_.store(gpr_slot(insn.reg), reg);
  if (store_rm) a_.store(gpr_slot(insn.rm), rm);
}

void BlockEmitter::lea(const Insn& insn) {
  HostRegister to = host(insn.reg);
  const bool in_slot = to == kNoHostRegister;
  if (in_slot || insn.operand_size == 2) {
    to = kAddress;
    clobber(kAddress);
  }
  const bool wide = insn.operand_size == 8 && insn.address_size == 8;
  load_address(to, effective_address(insn), wide);
  if (insn.operand_size == 2) {
    if (in_slot) {
      a_.op({.opcode = 0x89, .operand_size = true}, kAddress, gpr_slot(insn.reg));
    } else {
      a_.op({.opcode = 0x89, .operand_size = true}, kAddress, host(insn.reg));
    }
  } else if (in_slot) {
    a_.store(gpr_slot(insn.reg), kAddress);
  }
}

// Division by the host faults where the guest's does, so it is done only where it can't. DIV leaves all flags
// undefined.
void BlockEmitter::divide(const Insn& insn) {
  if (insn.operand_size < 4) return by_handler(insn);
  const bool wide = insn.operand_size == 8;
  clobber_both();
  if (insn.is_register) {
    const HostRegister divisor = host_or_load(insn.rm, kWord);
    if (divisor != kWord) a_.op({.opcode = 0x8b, .wide = wide}, kWord, divisor);
  } else {
    const HostMemory operand = memory_operand(insn, insn.operand_size, false);
    clobber_both();
    note_access();
    a_.op({.opcode = 0x8b, .wide = wide}, kWord, operand);
  }
  const bool is_signed = (insn.modrm >> 3 & 7) == 7;
  if (is_signed) {
    // By other than 0 and -1, and of what fits into one register.
    a_.lea(kAddress, {.base = kWord, .displacement = 1}, wide);
    a_.op({.opcode = 0x83, .wide = wide}, 7, kAddress);
    a_.byte(1);
    refuse_if(kHostBelowEqual);
    a_.op({.opcode = 0x8b, .wide = wide}, kAddress, kHostRax);
    a_.op({.opcode = 0xc1, .wide = wide}, 7, kAddress);
    a_.byte(wide ? 63 : 31);
    a_.op({.opcode = 0x3b, .wide = wide}, kAddress, kHostRdx);
    refuse_if(kHostNotEqual);
  } else {
    a_.op({.opcode = 0x3b, .wide = wide}, kHostRdx, kWord);
    refuse_if(kHostAboveEqual);
  }
  a_.op({.opcode = 0xf7, .wide = wide}, is_signed ? 7 : 6, kWord);
}

}  // namespace alcove::cpu::soft
