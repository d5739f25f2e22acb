// Repeated MOVS and STOS within a page, by the host's own.
#include <bit>

#include "cpu/soft/translator/emitter.h"

namespace alcove::cpu::soft {

// Looks the page up and brings the host's address into RBP. The access to it is only tried: where the host
// refuses it, the guest's registers are still as they were.
void BlockEmitter::string_address(HostRegister address, bool write) {
  a_.lea(kAddress, look_up(address, 1, write));
  note_access();
  a_.op({.opcode = 0xb6, .map = 1}, kWord, HostMemory{.base = kAddress});  // MOVZX
}

void BlockEmitter::repeat_string(const Insn& insn, bool moves) {
  const bool repeats = insn.rep || insn.repne;
  // A window does not tell in advance which pages may be written.
  if (!repeats || in_window() || insn.address_size != 8 || (moves && insn.segment >= fs))
    return by_handler(insn);
  if (moves) {
    string_address(kHostRsi, false);
    a_.store(ALCOVE_TRANSLATED(saved), kAddress);
  }
  string_address(kHostRdi, true);
  const auto size = static_cast<size_t>(std::countr_zero(unsigned{insn.operand_size}));
  a_.call(moves ? common_.repeat_movs[size] : common_.repeat_stos[size]);
  const Assembler::Fixup done = a_.jump_rcx_zero();
  refuse(a_.jump());
  a_.bind(done);
}

}  // namespace alcove::cpu::soft
