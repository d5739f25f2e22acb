// The stack. RSP changes only when the access has been made.
#include "cpu/soft/translator/emitter.h"

namespace alcove::cpu::soft {

void BlockEmitter::push_register(const Insn& insn) {
  if (insn.operand_size != 8) return by_handler(insn);
  push_register_operand(insn.reg);
}

void BlockEmitter::push_register_operand(unsigned guest) {
  a_.lea(kAddress, {.base = kGuestRsp, .displacement = -8});
  HostMemory operand = look_up(kAddress, 8, true);
  HostRegister value = host(guest);
  if (value == kNoHostRegister) {
    a_.lea(kAddress, operand);
    operand = {.base = kAddress};
    value = kWord;
    a_.load(value, gpr_slot(guest));
  }
  note_access();
  a_.store(operand, value);
  a_.lea(kGuestRsp, {.base = kGuestRsp, .displacement = -8});
}

void BlockEmitter::push_immediate(const Insn& insn) {
  if (insn.operand_size != 8) return by_handler(insn);
  a_.lea(kAddress, {.base = kGuestRsp, .displacement = -8});
  const HostMemory operand = look_up(kAddress, 8, true);
  note_access();
  a_.op({.opcode = 0xc7, .wide = true}, 0, operand);
  a_.word32(static_cast<uint32_t>(insn.immediate));
  a_.lea(kGuestRsp, {.base = kGuestRsp, .displacement = -8});
}

void BlockEmitter::push_memory(const Insn& insn) {
  if (insn.operand_size != 8) return by_handler(insn);
  if (insn.is_register) return push_register_operand(insn.rm);
  const HostMemory from = look_up(address(insn), 8, false);
  note_access();
  a_.load(kAddress, from);
  a_.store(ALCOVE_TRANSLATED(saved), kAddress);
  a_.lea(kAddress, {.base = kGuestRsp, .displacement = -8});
  a_.lea(kAddress, look_up(kAddress, 8, true));
  a_.load(kWord, ALCOVE_TRANSLATED(saved));
  note_access();
  a_.store({.base = kAddress}, kWord);
  a_.lea(kGuestRsp, {.base = kGuestRsp, .displacement = -8});
}

void BlockEmitter::pop_register(const Insn& insn) {
  if (insn.operand_size != 8) return by_handler(insn);
  const HostMemory operand = look_up(kGuestRsp, 8, false);
  const HostRegister to = host(insn.reg) == kNoHostRegister || insn.reg == rsp ? kWord : host(insn.reg);
  note_access();
  a_.load(to, operand);
  if (insn.reg == rsp) {
    a_.move(kGuestRsp, kWord);
    return;
  }
  a_.lea(kGuestRsp, {.base = kGuestRsp, .displacement = 8});
  if (to == kWord) a_.store(gpr_slot(insn.reg), kWord);
}

void BlockEmitter::leave_frame() {
  const Insn& insn = insn_at(current_);
  if (insn.operand_size != 8) return by_handler(insn);
  const HostMemory operand = look_up(kGuestRbp, 8, false);
  note_access();
  a_.load(kWord, operand);
  a_.lea(kGuestRsp, {.base = kGuestRbp, .displacement = 8});
  a_.move(kGuestRbp, kWord);
}

void BlockEmitter::push_return_address(const Insn& insn) {
  a_.lea(kAddress, {.base = kGuestRsp, .displacement = -8});
  a_.lea(kAddress, look_up(kAddress, 8, true));
  a_.load(kWord, ALCOVE_TRANSLATED(page));
  a_.lea(kWord,
         {.base = kWord, .displacement = static_cast<int32_t>(page_offset(insn.offset + insn.length))});
  note_access();
  a_.store({.base = kAddress}, kWord);
  a_.lea(kGuestRsp, {.base = kGuestRsp, .displacement = -8});
}

}  // namespace alcove::cpu::soft
