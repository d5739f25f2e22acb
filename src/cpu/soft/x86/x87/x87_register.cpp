// x87 instructions on the register stack.
#include "cpu/soft/x86/sse/operands.h"
#include "cpu/soft/x86/x87/availability.h"
#include "cpu/soft/x86/x87/execute.h"
#include "cpu/soft/x86/x87/groups.h"

namespace alcove::cpu::soft {
namespace {

void on_stack(Cpu& cpu, const Insn& insn) {
  check_pending_x87(cpu);
  HostX87Result result;
  run_on_host_x87(cpu.fpu, insn.opcode, insn.modrm, nullptr, 0, result);
  commit_x87(cpu.fpu, result);
  note_x87_instruction(cpu, insn);
}

// FCMOVcc
void move_if(Cpu& cpu, const Insn& insn) {
  check_pending_x87(cpu);
  HostX87Result result;
  run_on_host_x87(cpu.fpu, insn.opcode, insn.modrm, nullptr, cpu.flags.arithmetic_bits(), result);
  commit_x87(cpu.fpu, result);
  note_x87_instruction(cpu, insn);
}

// FCOMI and its kin: ZF, PF and CF; OF, SF and AF become 0. Whether they do with an unmasked invalid operand
// depends on the processor's maker.
void compare_to_flags(Cpu& cpu, const Insn& insn) {
  check_pending_x87(cpu);
  HostX87Result result;
  run_on_host_x87(cpu.fpu, insn.opcode, insn.modrm, nullptr, cpu.flags.arithmetic_bits(), result);
  cpu.flags.set_arithmetic_bits(result.flags);
  commit_x87(cpu.fpu, result);
  note_x87_instruction(cpu, insn);
}

constexpr FlagEffects kNone{};
constexpr FlagEffects kCompares{.written = kArithmeticFlags};
constexpr FlagEffects kReadsCf{.read = kCf}, kReadsZf{.read = kZf}, kReadsCfZf{.read = kCf | kZf},
    kReadsPf{.read = kPf};

#define ALCOVE_X87_TOP(name, encoding) {name, encoding, "ST(0),ST(i)", only<on_stack>, kX87, kNone, nullptr}
#define ALCOVE_X87_OTHER(name, encoding) {name, encoding, "ST(i),ST(0)", only<on_stack>, kX87, kNone, nullptr}
#define ALCOVE_X87_ONE(name, encoding) {name, encoding, "ST(i)", only<on_stack>, kX87, kNone, nullptr}
#define ALCOVE_X87_PLAIN(name, encoding) {name, encoding, "", only<on_stack>, kX87, kNone, nullptr}

constexpr Row kRows[] = {
    ALCOVE_X87_TOP("fadd", "D8 /0 reg"),
    ALCOVE_X87_TOP("fmul", "D8 /1 reg"),
    ALCOVE_X87_ONE("fcom", "D8 /2 reg"),
    ALCOVE_X87_ONE("fcomp", "D8 /3 reg"),
    ALCOVE_X87_TOP("fsub", "D8 /4 reg"),
    ALCOVE_X87_TOP("fsubr", "D8 /5 reg"),
    ALCOVE_X87_TOP("fdiv", "D8 /6 reg"),
    ALCOVE_X87_TOP("fdivr", "D8 /7 reg"),
    ALCOVE_X87_ONE("fld", "D9 /0 reg"),
    ALCOVE_X87_ONE("fxch", "D9 /1 reg"),
    ALCOVE_X87_PLAIN("fnop", "D9 D0"),
    ALCOVE_X87_PLAIN("fchs", "D9 E0"),
    ALCOVE_X87_PLAIN("fabs", "D9 E1"),
    ALCOVE_X87_PLAIN("ftst", "D9 E4"),
    ALCOVE_X87_PLAIN("fxam", "D9 E5"),
    ALCOVE_X87_PLAIN("fld1", "D9 E8"),
    ALCOVE_X87_PLAIN("fldl2t", "D9 E9"),
    ALCOVE_X87_PLAIN("fldl2e", "D9 EA"),
    ALCOVE_X87_PLAIN("fldpi", "D9 EB"),
    ALCOVE_X87_PLAIN("fldlg2", "D9 EC"),
    ALCOVE_X87_PLAIN("fldln2", "D9 ED"),
    ALCOVE_X87_PLAIN("fldz", "D9 EE"),
    ALCOVE_X87_PLAIN("f2xm1", "D9 F0"),
    ALCOVE_X87_PLAIN("fyl2x", "D9 F1"),
    ALCOVE_X87_PLAIN("fptan", "D9 F2"),
    ALCOVE_X87_PLAIN("fpatan", "D9 F3"),
    ALCOVE_X87_PLAIN("fxtract", "D9 F4"),
    ALCOVE_X87_PLAIN("fprem1", "D9 F5"),
    ALCOVE_X87_PLAIN("fdecstp", "D9 F6"),
    ALCOVE_X87_PLAIN("fincstp", "D9 F7"),
    ALCOVE_X87_PLAIN("fprem", "D9 F8"),
    ALCOVE_X87_PLAIN("fyl2xp1", "D9 F9"),
    ALCOVE_X87_PLAIN("fsqrt", "D9 FA"),
    ALCOVE_X87_PLAIN("fsincos", "D9 FB"),
    ALCOVE_X87_PLAIN("frndint", "D9 FC"),
    ALCOVE_X87_PLAIN("fscale", "D9 FD"),
    ALCOVE_X87_PLAIN("fsin", "D9 FE"),
    ALCOVE_X87_PLAIN("fcos", "D9 FF"),
    {"fcmovb", "DA /0 reg", "ST(0),ST(i)", only<move_if>, kX87, kReadsCf, "cmov"},
    {"fcmove", "DA /1 reg", "ST(0),ST(i)", only<move_if>, kX87, kReadsZf, "cmov"},
    {"fcmovbe", "DA /2 reg", "ST(0),ST(i)", only<move_if>, kX87, kReadsCfZf, "cmov"},
    {"fcmovu", "DA /3 reg", "ST(0),ST(i)", only<move_if>, kX87, kReadsPf, "cmov"},
    ALCOVE_X87_PLAIN("fucompp", "DA E9"),
    {"fcmovnb", "DB /0 reg", "ST(0),ST(i)", only<move_if>, kX87, kReadsCf, "cmov"},
    {"fcmovne", "DB /1 reg", "ST(0),ST(i)", only<move_if>, kX87, kReadsZf, "cmov"},
    {"fcmovnbe", "DB /2 reg", "ST(0),ST(i)", only<move_if>, kX87, kReadsCfZf, "cmov"},
    {"fcmovnu", "DB /3 reg", "ST(0),ST(i)", only<move_if>, kX87, kReadsPf, "cmov"},
    {"fucomi", "DB /5 reg", "ST(0),ST(i)", only<compare_to_flags>, kX87, kCompares, "cmov"},
    {"fcomi", "DB /6 reg", "ST(0),ST(i)", only<compare_to_flags>, kX87, kCompares, "cmov"},
    ALCOVE_X87_OTHER("fadd", "DC /0 reg"),
    ALCOVE_X87_OTHER("fmul", "DC /1 reg"),
    ALCOVE_X87_OTHER("fsubr", "DC /4 reg"),
    ALCOVE_X87_OTHER("fsub", "DC /5 reg"),
    ALCOVE_X87_OTHER("fdivr", "DC /6 reg"),
    ALCOVE_X87_OTHER("fdiv", "DC /7 reg"),
    ALCOVE_X87_ONE("ffree", "DD /0 reg"),
    ALCOVE_X87_ONE("fst", "DD /2 reg"),
    ALCOVE_X87_ONE("fstp", "DD /3 reg"),
    ALCOVE_X87_ONE("fucom", "DD /4 reg"),
    ALCOVE_X87_ONE("fucomp", "DD /5 reg"),
    ALCOVE_X87_OTHER("faddp", "DE /0 reg"),
    ALCOVE_X87_OTHER("fmulp", "DE /1 reg"),
    ALCOVE_X87_PLAIN("fcompp", "DE D9"),
    ALCOVE_X87_OTHER("fsubrp", "DE /4 reg"),
    ALCOVE_X87_OTHER("fsubp", "DE /5 reg"),
    ALCOVE_X87_OTHER("fdivrp", "DE /6 reg"),
    ALCOVE_X87_OTHER("fdivp", "DE /7 reg"),
    {"fucomip", "DF /5 reg", "ST(0),ST(i)", only<compare_to_flags>, kX87, kCompares, "cmov"},
    {"fcomip", "DF /6 reg", "ST(0),ST(i)", only<compare_to_flags>, kX87, kCompares, "cmov"},
    // Encodings that the SDM's opcode map leaves out but AMD's (APM vol. 3, table A-15) and all processors
    // have.
    ALCOVE_X87_ONE("fstp", "D9 /3 reg"),
    ALCOVE_X87_ONE("fcom", "DC /2 reg"),
    ALCOVE_X87_ONE("fcomp", "DC /3 reg"),
    ALCOVE_X87_ONE("fxch", "DD /1 reg"),
    ALCOVE_X87_ONE("fcomp", "DE /2 reg"),
    ALCOVE_X87_ONE("ffreep", "DF /0 reg"),
    ALCOVE_X87_ONE("fxch", "DF /1 reg"),
    ALCOVE_X87_ONE("fstp", "DF /2 reg"),
    ALCOVE_X87_ONE("fstp", "DF /3 reg"),
};

}  // namespace

std::span<const Row> x87_register_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
