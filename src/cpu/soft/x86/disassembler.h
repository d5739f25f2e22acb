// Decoded instructions as text, in Intel's syntax.
#pragma once

#include <cstdint>
#include <string>

#include "cpu/soft/x86/insn.h"

namespace alcove::cpu::soft {

// "lock add dword ptr [rbx + rcx*4 - 0x4], eax". `address` is the instruction's: relative branches and
// RIP-relative operands are shown by where they lead.
std::string disassemble(const Insn& insn, uint64_t address = 0);

// The mnemonic alone, with the condition of Jcc, SETcc and CMOVcc and the size of string instructions.
std::string full_mnemonic(const Insn& insn);

}  // namespace alcove::cpu::soft
