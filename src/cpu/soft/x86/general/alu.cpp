// Two-operand arithmetic and logic, and their one-operand relatives.
#include "cpu/soft/x86/general/forms.h"
#include "cpu/soft/x86/general/groups.h"

namespace alcove::cpu::soft {
namespace {

// What an operation leaves in its destination and in the flags.
template <class T>
void set_sum_flags(Cpu& cpu, T a, T b, T sum) {
  cpu.flags.set_arithmetic<T>(sum, static_cast<T>((a & b) | ((a | b) & ~sum)));
}
template <class T>
void set_difference_flags(Cpu& cpu, T a, T b, T difference) {
  cpu.flags.set_arithmetic<T>(difference, static_cast<T>((~a & b) | ((~a | b) & difference)));
}

struct Add {
  static constexpr bool kReadsCarry = false;
  static constexpr bool kWrites = true;
  template <class T>
  static T compute(T a, T b, bool) {
    return static_cast<T>(a + b);
  }
  template <class T>
  static void set_flags(Cpu& cpu, T a, T b, T result) {
    set_sum_flags(cpu, a, b, result);
  }
};

struct Adc : Add {
  static constexpr bool kReadsCarry = true;
  template <class T>
  static T compute(T a, T b, bool carry) {
    return static_cast<T>(a + b + carry);
  }
};

struct Sub {
  static constexpr bool kReadsCarry = false;
  static constexpr bool kWrites = true;
  template <class T>
  static T compute(T a, T b, bool) {
    return static_cast<T>(a - b);
  }
  template <class T>
  static void set_flags(Cpu& cpu, T a, T b, T result) {
    set_difference_flags(cpu, a, b, result);
  }
};

struct Sbb : Sub {
  static constexpr bool kReadsCarry = true;
  template <class T>
  static T compute(T a, T b, bool carry) {
    return static_cast<T>(a - b - carry);
  }
};

struct Cmp : Sub {
  static constexpr bool kWrites = false;
};

struct Logic {
  static constexpr bool kReadsCarry = false;
  static constexpr bool kWrites = true;
  template <class T>
  static void set_flags(Cpu& cpu, T, T, T result) {
    cpu.flags.set_logic<T>(result);
  }
};

struct And : Logic {
  template <class T>
  static T compute(T a, T b, bool) {
    return a & b;
  }
};

struct Or : Logic {
  template <class T>
  static T compute(T a, T b, bool) {
    return a | b;
  }
};

struct Xor : Logic {
  template <class T>
  static T compute(T a, T b, bool) {
    return a ^ b;
  }
};

struct Test : And {
  static constexpr bool kWrites = false;
};

// E := E op source.
template <class Operation, class Form, class T>
void apply(Cpu& cpu, const Insn& insn, T source) {
  const bool carry = Operation::kReadsCarry && cpu.flags.cf();
  T old;
  if constexpr (Operation::kWrites)
    old = Form::template update<T>(
        cpu, insn, [=](T value) { return Operation::template compute<T>(value, source, carry); });
  else
    old = Form::template read<T>(cpu, insn);
  Operation::template set_flags<T>(cpu, old, source, Operation::template compute<T>(old, source, carry));
}

template <class Operation>
struct RmReg {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    apply<Operation, Form, T>(cpu, insn, read_reg<T>(cpu, insn));
  }
};

template <class Operation>
struct RmImmediate {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    apply<Operation, Form, T>(cpu, insn, static_cast<T>(insn.immediate));
  }
};

template <class Operation>
struct RegRm {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T source = Form::template read<T>(cpu, insn);
    const T old = read_reg<T>(cpu, insn);
    const bool carry = Operation::kReadsCarry && cpu.flags.cf();
    const T result = Operation::template compute<T>(old, source, carry);
    if constexpr (Operation::kWrites) write_reg<T>(cpu, insn, result);
    Operation::template set_flags<T>(cpu, old, source, result);
  }
};

template <class Operation>
struct AccumulatorImmediate {
  template <class T>
  static void execute(Cpu& cpu, const Insn& insn) {
    apply<Operation, RegisterForm, T>(cpu, insn, static_cast<T>(insn.immediate));
  }
};

struct Inc {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T old = Form::template update<T>(cpu, insn, [](T value) { return static_cast<T>(value + 1); });
    const bool carry = cpu.flags.cf();
    set_sum_flags<T>(cpu, old, 1, static_cast<T>(old + 1));
    cpu.flags.set_cf(carry);
  }
};

struct Dec {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T old = Form::template update<T>(cpu, insn, [](T value) { return static_cast<T>(value - 1); });
    const bool carry = cpu.flags.cf();
    set_difference_flags<T>(cpu, old, 1, static_cast<T>(old - 1));
    cpu.flags.set_cf(carry);
  }
};

// The one-byte forms 40-4F name their register in the opcode.
template <class Kind>
struct OpcodeRegister {
  struct Form {
    template <class T, class Operation>
    static T update(Cpu& cpu, const Insn& insn, Operation operation) {
      const T old = read_reg<T>(cpu, insn);
      write_reg<T>(cpu, insn, operation(old));
      return old;
    }
  };
  template <class T>
  static void execute(Cpu& cpu, const Insn& insn) {
    Kind::template execute<T, Form>(cpu, insn);
  }
};

struct Neg {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    const T old = Form::template update<T>(cpu, insn, [](T value) { return static_cast<T>(-value); });
    set_difference_flags<T>(cpu, 0, old, static_cast<T>(-old));
  }
};

struct Not {
  template <class T, class Form>
  static void execute(Cpu& cpu, const Insn& insn) {
    Form::template update<T>(cpu, insn, [](T value) { return static_cast<T>(~value); });
  }
};

// One operation in its nine encodings: two each of E,G and G,E and accumulator,I; 80, 81, 82, 83 /n.
#define ALCOVE_ALU_ROWS(name, Operation, eb, ev, gb, gv, al, ax, digit, lock, effects)     \
  {name, eb " /r", "Eb,Gb", pick<RmReg<Operation>>, lock, effects},                        \
      {name, ev " /r", "Ev,Gv", pick<RmReg<Operation>>, lock, effects},                    \
      {name, gb " /r", "Gb,Eb", pick<RegRm<Operation>>, 0, effects},                       \
      {name, gv " /r", "Gv,Ev", pick<RegRm<Operation>>, 0, effects},                       \
      {name, al, "AL,Ib", pick_size<AccumulatorImmediate<Operation>>, 0, effects},         \
      {name, ax, "rAX,Iz", pick_size<AccumulatorImmediate<Operation>>, 0, effects},        \
      {name, "80 " digit, "Eb,Ib", pick<RmImmediate<Operation>>, lock, effects},           \
      {name, "81 " digit, "Ev,Iz", pick<RmImmediate<Operation>>, lock, effects},           \
      {name, "82 " digit, "Eb,Ib", pick<RmImmediate<Operation>>, lock | kNo64, effects}, { \
    name, "83 " digit, "Ev,sIb", pick<RmImmediate<Operation>>, lock, effects               \
  }

const Row kRows[] = {
    ALCOVE_ALU_ROWS("add", Add, "00", "01", "02", "03", "04", "05", "/0", kLock, kWritesAll),
    ALCOVE_ALU_ROWS("or", Or, "08", "09", "0A", "0B", "0C", "0D", "/1", kLock, kWritesLogic),
    ALCOVE_ALU_ROWS("adc", Adc, "10", "11", "12", "13", "14", "15", "/2", kLock, kWritesAllReadsCarry),
    ALCOVE_ALU_ROWS("sbb", Sbb, "18", "19", "1A", "1B", "1C", "1D", "/3", kLock, kWritesAllReadsCarry),
    ALCOVE_ALU_ROWS("and", And, "20", "21", "22", "23", "24", "25", "/4", kLock, kWritesLogic),
    ALCOVE_ALU_ROWS("sub", Sub, "28", "29", "2A", "2B", "2C", "2D", "/5", kLock, kWritesAll),
    ALCOVE_ALU_ROWS("xor", Xor, "30", "31", "32", "33", "34", "35", "/6", kLock, kWritesLogic),
    ALCOVE_ALU_ROWS("cmp", Cmp, "38", "39", "3A", "3B", "3C", "3D", "/7", 0, kWritesAll),
    {"test", "84 /r", "Eb,Gb", pick<RmReg<Test>>, 0, kWritesLogic},
    {"test", "85 /r", "Ev,Gv", pick<RmReg<Test>>, 0, kWritesLogic},
    {"test", "A8", "AL,Ib", pick_size<AccumulatorImmediate<Test>>, 0, kWritesLogic},
    {"test", "A9", "rAX,Iz", pick_size<AccumulatorImmediate<Test>>, 0, kWritesLogic},
    {"test", "F6 /0", "Eb,Ib", pick<RmImmediate<Test>>, 0, kWritesLogic},
    {"test", "F6 /1", "Eb,Ib", pick<RmImmediate<Test>>, 0, kWritesLogic},
    {"test", "F7 /0", "Ev,Iz", pick<RmImmediate<Test>>, 0, kWritesLogic},
    {"test", "F7 /1", "Ev,Iz", pick<RmImmediate<Test>>, 0, kWritesLogic},
    {"not", "F6 /2", "Eb", pick<Not>, kLock},
    {"not", "F7 /2", "Ev", pick<Not>, kLock},
    {"neg", "F6 /3", "Eb", pick<Neg>, kLock, kWritesAll},
    {"neg", "F7 /3", "Ev", pick<Neg>, kLock, kWritesAll},
    {"inc", "FE /0", "Eb", pick<Inc>, kLock, kWritesAllButCarry},
    {"inc", "FF /0", "Ev", pick<Inc>, kLock, kWritesAllButCarry},
    {"dec", "FE /1", "Eb", pick<Dec>, kLock, kWritesAllButCarry},
    {"dec", "FF /1", "Ev", pick<Dec>, kLock, kWritesAllButCarry},
    {"inc", "40+r", "Zv", pick_wide_size<OpcodeRegister<Inc>>, kNo64, kWritesAllButCarry},
    {"dec", "48+r", "Zv", pick_wide_size<OpcodeRegister<Dec>>, kNo64, kWritesAllButCarry},
};

}  // namespace

std::span<const Row> alu_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
