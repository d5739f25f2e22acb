// The instruction table's row format. One table feeds decoder, interpreter, translator, disassembler and test
// generator; each group of instructions contributes its rows from a file of its own.
#pragma once

#include <cstdint>
#include <span>

#include "cpu/soft/x86/insn.h"

namespace alcove::cpu::soft {

enum RowFlag : uint32_t {
  kLock = 1u << 0,       // LOCK allowed (with a memory destination); otherwise it is #UD.
  kNo64 = 1u << 1,       // #UD in 64-bit mode.
  kOnly64 = 1u << 2,     // #UD outside it.
  kDefault64 = 1u << 3,  // Operand size 64 in 64-bit mode without REX.W (near branches, stack); 66 gives 16.
  kForce64 =
      1u << 4,  // Operand size 64 in 64-bit mode whatever the prefixes say (MOV CRn, near branches on Intel).
  kEndsBlock = 1u << 5,   // Sets Cpu::rip, or changes what the following instructions mean.
  kStops = 1u << 6,       // Control never falls through to the next instruction (JMP, RET, HLT…).
  kBranch = 1u << 7,      // Relative branch: `immediate` is the displacement, the target may be chained.
  kRep = 1u << 8,         // A string instruction: REP prefixes repeat it (see ends_block).
  kPrivileged = 1u << 9,  // #GP(0) unless CPL 0.
  kSse = 1u << 10,        // #UD/#NM by CR0.EM, CR0.TS, CR4.OSFXSR, checked before the handler is called.
  kX87 = 1u << 11,        // #NM by CR0.EM/TS, checked before the handler is called; also pending #MF.
  kMmx = 1u << 12,        // As kX87, and EM gives #UD.
  kNoTest = 1u << 13,     // Not compared with the host's CPU; tests/… lists why.
  kProtected = 1u << 14,  // #UD in real and virtual-8086 mode.
  kAvx = 1u << 15,        // #UD by CR4.OSXSAVE, XCR0 and in real mode, #NM by CR0.TS, checked like kSse.
};

// Status flags an instruction writes, leaves undefined, or reads; CF PF AF ZF SF OF as their RFLAGS bits.
struct FlagEffects {
  uint16_t written = 0;
  uint16_t undefined = 0;
  uint16_t read = 0;
};

struct Row {
  // Lower case, Intel syntax. "cbw|cwde|cdqe": by operand size 2, 4 and 8.
  const char* mnemonic;
  // As the Intel SDM writes opcodes: prefixes (NP, 66, F3, F2) if they select the instruction, 0F, 0F 38 or
  // 0F 3A, opcode byte ("50+r" for eight registers, "70+cc" for sixteen conditions), then "/r", or "/0"…"/7",
  // then "mem" or "reg" if only that form exists; a full ModRM byte is written as one more opcode byte
  // ("0F 01 D0"). VEX prefixes are written as in "VEX.128.66.0F38.W0", without the length or W where those
  // say nothing, or say only how long operands are.
  const char* encoding;
  // Operands as in appendix A of the SDM (Eb, Ev, Gv, Iz, Ib, sIb (sign-extended byte), Jz, Jb, M, Mq, Ob,
  // Ov, Sw, Cd, Dd, Vx, Wx, Wss, Wsd, Wq, Pq, Qq, Rv, AL, eAX (at most 4 bytes), rAX, 1, CL, Xb, Yb, Ap…),
  // comma- separated; with a half, a fourth or an eighth of the vector in memory: Wxh, Wxf, Wxe; Zb, Zv, Zq
  // for the register in the opcode, ST(0) and ST(i) for x87. encoding.cpp has them all.
  const char* operands;
  // Picks the handler from the decoded fields (size, register or memory form…); null: such a form is #UD.
  Handler (*select)(const Insn&);
  uint32_t flags = 0;
  FlagEffects effects = {};
  const char* feature = nullptr;  // The CPUID feature that promises it ("sse4_1"); null: always there.
};

// Whether the instruction sets Cpu::rip and returns to the run loop. Repeated string instructions do: they
// leave now and then, with Cpu::rip still at themselves, so that interrupts can be taken in between.
inline bool ends_block(const Insn& insn) {
  return (insn.row->flags & (kEndsBlock | kStops | kBranch)) ||
         ((insn.row->flags & kRep) && (insn.rep || insn.repne));
}

// The groups. Defined in table_general.cpp, table_system.cpp, table_x87.cpp, table_sse.cpp, table_vex.cpp.
std::span<const Row> general_rows();
std::span<const Row> system_rows();
std::span<const Row> x87_rows();
std::span<const Row> sse_rows();
std::span<const Row> vex_rows();

}  // namespace alcove::cpu::soft
