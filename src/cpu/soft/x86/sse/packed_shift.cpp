// Packed integers: shifts.
#include "cpu/soft/x86/sse/groups.h"
#include "cpu/soft/x86/sse/lanes.h"
#include "cpu/soft/x86/sse/packed_rows.h"

namespace alcove::cpu::soft {
namespace {

// The count is 64 bits wide; one beyond the lane shifts everything out.
constexpr auto left = []<class V>(V a, uint64_t count) {
  constexpr uint64_t kBits = 8 * sizeof(Lane<V>);
  return count < kBits ? a << static_cast<Lane<V>>(count) : V{};
};
constexpr auto right = []<class V>(V a, uint64_t count) {
  constexpr uint64_t kBits = 8 * sizeof(Lane<V>);
  return count < kBits ? a >> static_cast<Lane<V>>(count) : V{};
};
constexpr auto right_arithmetic = []<class V>(V a, uint64_t count) {
  constexpr uint64_t kBits = 8 * sizeof(Lane<V>);
  return a >> static_cast<Lane<V>>(std::min(count, kBits - 1));
};

// PSLLDQ, PSRLDQ: the count is in bytes.
constexpr auto left_bytes = [](Packed<unsigned __int128, 16> a, uint64_t count) {
  return count < 16 ? a << 8 * count : Packed<unsigned __int128, 16>{};
};
constexpr auto right_bytes = [](Packed<unsigned __int128, 16> a, uint64_t count) {
  return count < 16 ? a >> 8 * count : Packed<unsigned __int128, 16>{};
};

// The count in the low quadword of a register or of a memory operand as wide as the register.
template <auto operation, class V>
struct ShiftByOperand {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    check_vector<V>(cpu);
    const auto count = load_vector<Packed<uint64_t, sizeof(V)>, kPlace>(cpu, insn);
    enter_vector<V>(cpu);
    write_vector<V>(cpu, insn.reg, operation(read_vector<V>(cpu, insn.reg), count[0]));
  }
};

template <auto operation, class V>
void shift_by_immediate(Cpu& cpu, const Insn& insn) {
  check_vector<V>(cpu);
  enter_vector<V>(cpu);
  write_vector<V>(cpu, insn.rm, operation(read_vector<V>(cpu, insn.rm), insn.immediate));
}

#define ALCOVE_SHIFT(name, opcode, immediate_opcode, operation, T)          \
  ALCOVE_PACKED(name, opcode, ShiftByOperand, operation, T, "mmx", "sse2"), \
      {name,    "NP 0F " immediate_opcode " reg",                           \
       "Nq,Ib", going_on<shift_by_immediate<operation, Packed<T, 8>>>,      \
       kMmx,    {},                                                         \
       "mmx"},                                                              \
      {name,    "66 0F " immediate_opcode " reg",                           \
       "Ux,Ib", going_on<shift_by_immediate<operation, Packed<T, 16>>>,     \
       kSse,    {},                                                         \
       "sse2"}

constexpr Row kRows[] = {
    ALCOVE_SHIFT("psrlw", "D1", "71 /2", right, uint16_t),
    ALCOVE_SHIFT("psraw", "E1", "71 /4", right_arithmetic, int16_t),
    ALCOVE_SHIFT("psllw", "F1", "71 /6", left, uint16_t),
    ALCOVE_SHIFT("psrld", "D2", "72 /2", right, uint32_t),
    ALCOVE_SHIFT("psrad", "E2", "72 /4", right_arithmetic, int32_t),
    ALCOVE_SHIFT("pslld", "F2", "72 /6", left, uint32_t),
    ALCOVE_SHIFT("psrlq", "D3", "73 /2", right, uint64_t),
    ALCOVE_SHIFT("psllq", "F3", "73 /6", left, uint64_t),
    {"psrldq",
     "66 0F 73 /3 reg",
     "Ux,Ib",
     going_on<shift_by_immediate<right_bytes, Packed<unsigned __int128, 16>>>,
     kSse,
     {},
     "sse2"},
    {"pslldq",
     "66 0F 73 /7 reg",
     "Ux,Ib",
     going_on<shift_by_immediate<left_bytes, Packed<unsigned __int128, 16>>>,
     kSse,
     {},
     "sse2"},
};

}  // namespace

std::span<const Row> packed_shift_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
