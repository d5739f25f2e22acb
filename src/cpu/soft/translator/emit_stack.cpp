// The stack. RSP changes only when the access has been made.
#include "cpu/soft/translator/emitter.h"

namespace alcove::cpu::soft {

void BlockEmitter::push_register(const Insn& insn) {
  if (insn.operand_size != 8) return by_handler(insn);
  push_register_operand(insn.reg);
}

void BlockEmitter::push_register_operand(unsigned guest) {
  HostMemory operand = frame_operand(rsp, -8, true);
  HostRegister value = host(guest);
  if (value == kNoHostRegister) {
    if (!in_window()) {
      a_.lea(kAddress, operand);
      operand = {.base = kAddress};
    }
    value = in_window() ? kAddress : kWord;
    clobber(value);
    a_.load(value, gpr_slot(guest));
  }
  note_access();
  a_.store(operand, value);
  a_.lea(kGuestRsp, {.base = kGuestRsp, .displacement = -8});
}

void BlockEmitter::push_immediate(const Insn& insn) {
  if (insn.operand_size != 8) return by_handler(insn);
  const HostMemory operand = frame_operand(rsp, -8, true);
  note_access();
  a_.op({.opcode = 0xc7, .wide = true}, 0, operand);
  a_.word32(static_cast<uint32_t>(insn.immediate));
  a_.lea(kGuestRsp, {.base = kGuestRsp, .displacement = -8});
}

void BlockEmitter::push_memory(const Insn& insn) {
  if (insn.operand_size != 8) return by_handler(insn);
  if (insn.is_register) return push_register_operand(insn.rm);
  const HostMemory from = memory_operand(insn, 8, false);
  note_access();
  a_.load(kAddress, from);
  clobber(kAddress);
  if (in_window()) {
    const HostMemory to = frame_operand(rsp, -8, true);
    note_access();
    a_.store(to, kAddress);
    a_.lea(kGuestRsp, {.base = kGuestRsp, .displacement = -8});
    return;
  }
  a_.store(ALCOVE_TRANSLATED(saved), kAddress);
  push_saved();
}

// Pushes TranslatedState::saved; not in a window.
void BlockEmitter::push_saved() {
  a_.lea(kAddress, {.base = kGuestRsp, .displacement = -8});
  a_.lea(kAddress, look_up(kAddress, 8, true));
  a_.load(kWord, ALCOVE_TRANSLATED(saved));
  note_access();
  a_.store({.base = kAddress}, kWord);
  a_.lea(kGuestRsp, {.base = kGuestRsp, .displacement = -8});
}

void BlockEmitter::pop_register(const Insn& insn) {
  if (insn.operand_size != 8) return by_handler(insn);
  const HostMemory operand = frame_operand(rsp, 0, false);
  const bool in_slot = host(insn.reg) == kNoHostRegister;
  const HostRegister to = in_slot || insn.reg == rsp ? kAddress : host(insn.reg);
  clobber(kAddress);
  note_access();
  a_.load(to, operand);
  if (insn.reg == rsp) {
    a_.move(kGuestRsp, kAddress);
    return;
  }
  a_.lea(kGuestRsp, {.base = kGuestRsp, .displacement = 8});
  if (in_slot) a_.store(gpr_slot(insn.reg), kAddress);
}

void BlockEmitter::leave_frame() {
  const Insn& insn = insn_at(current_);
  if (insn.operand_size != 8) return by_handler(insn);
  const HostMemory operand = frame_operand(rbp, 0, false);
  note_access();
  a_.load(kWord, operand);
  a_.lea(kGuestRsp, {.base = kGuestRbp, .displacement = 8});
  a_.move(kGuestRbp, kWord);
}

// Leaves it in RBP.
void BlockEmitter::push_return_address(const Insn& insn) {
  HostMemory operand = frame_operand(rsp, -8, true);
  if (!in_window()) {
    a_.lea(kAddress, operand);
    operand = {.base = kAddress};
  }
  const HostRegister value = in_window() ? kAddress : kWord;
  load_linear(value, page_offset(insn.offset + insn.length));
  note_access();
  a_.store(operand, value);
  a_.move(kAddress, value);
  a_.lea(kGuestRsp, {.base = kGuestRsp, .displacement = -8});
}

}  // namespace alcove::cpu::soft
