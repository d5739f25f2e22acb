// Loads, stores and moves that change no value.
#include "cpu/soft/x86/sse/groups.h"
#include "cpu/soft/x86/sse/operands.h"

namespace alcove::cpu::soft {
namespace {

// Whole registers. kAligned: the memory operand must be.
template <bool kAligned>
struct Load {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    if constexpr (is_register(kPlace))
      write_xmm(cpu, insn.reg, read_xmm<Xmm>(cpu, insn.rm));
    else if constexpr (kAligned)
      write_xmm(cpu, insn.reg, load_operand<Xmm, kPlace>(cpu, insn));
    else
      write_xmm(cpu, insn.reg, load_unaligned<Xmm, kPlace>(cpu, insn));
  }
};
template <bool kAligned>
struct Store {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    const Xmm value = read_xmm<Xmm>(cpu, insn.reg);
    if constexpr (is_register(kPlace))
      write_xmm(cpu, insn.rm, value);
    else if constexpr (kAligned)
      store<Xmm>(cpu, aligned_address<kPlace>(cpu, insn, true), value);
    else
      store_operand<kPlace>(cpu, insn, value);
  }
};

// MOVSS, MOVSD: between registers only the low element changes; a load clears the others.
template <class T>
struct LoadScalar {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    if constexpr (is_register(kPlace))
      write_xmm(cpu, insn.reg, read_xmm<T>(cpu, insn.rm));
    else
      write_xmm(cpu, insn.reg, Xmm{load_operand<T, kPlace>(cpu, insn), 0});
  }
};
template <class T>
struct StoreScalar {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    const T value = read_xmm<T>(cpu, insn.reg);
    if constexpr (is_register(kPlace))
      write_xmm(cpu, insn.rm, value);
    else
      store_operand<kPlace>(cpu, insn, value);
  }
};

// MOVQ between XMM registers clears the upper half.
struct LoadQuadword {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    const auto value =
        is_register(kPlace) ? read_xmm<uint64_t>(cpu, insn.rm) : load_operand<uint64_t, kPlace>(cpu, insn);
    write_xmm(cpu, insn.reg, Xmm{value, 0});
  }
};
struct StoreQuadword {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    const auto value = read_xmm<uint64_t>(cpu, insn.reg);
    if constexpr (is_register(kPlace))
      write_xmm(cpu, insn.rm, Xmm{value, 0});
    else
      store_operand<kPlace>(cpu, insn, value);
  }
};

uint64_t half(const Cpu& cpu, unsigned number, unsigned half) {
  return cpu.fpu.ymm[number].words[half];
}
void set_half(Cpu& cpu, unsigned number, unsigned half, uint64_t value) {
  cpu.fpu.ymm[number].words[half] = value;
}

// MOVLPS, MOVHPS and their PD forms: one half from or to memory.
template <unsigned kHalf>
void load_half(Cpu& cpu, const Insn& insn) {
  set_half(cpu, insn.reg, kHalf, load_operand<uint64_t>(cpu, insn));
}
template <unsigned kHalf>
void store_half(Cpu& cpu, const Insn& insn) {
  store_operand(cpu, insn, half(cpu, insn.reg, kHalf));
}
void movhlps(Cpu& cpu, const Insn& insn) {
  set_half(cpu, insn.reg, 0, half(cpu, insn.rm, 1));
}
void movlhps(Cpu& cpu, const Insn& insn) {
  set_half(cpu, insn.reg, 1, half(cpu, insn.rm, 0));
}

struct Movddup {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    const auto value =
        is_register(kPlace) ? half(cpu, insn.rm, 0) : load_operand<uint64_t, kPlace>(cpu, insn);
    write_xmm(cpu, insn.reg, Xmm{value, value});
  }
};
constexpr auto even_singles = [](XmmDwords a) { return __builtin_shufflevector(a, a, 0, 0, 2, 2); };
constexpr auto odd_singles = [](XmmDwords a) { return __builtin_shufflevector(a, a, 1, 1, 3, 3); };

// MOVD and MOVQ between general registers or memory and the low element; V tells the register file.
template <class T, class V>
struct LoadGeneral {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    check_vector<V>(cpu);
    const T value = is_register(kPlace) ? read_gpr<T>(cpu, insn.rm) : load_operand<T, kPlace>(cpu, insn);
    enter_vector<V>(cpu);
    write_vector(cpu, insn.reg, V{value});
  }
};
template <class T, class V>
struct StoreGeneral {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    check_vector<V>(cpu);
    const auto value = static_cast<T>(read_vector<V>(cpu, insn.reg)[0]);
    if constexpr (is_register(kPlace))
      write_gpr<T>(cpu, insn.rm, value);
    else
      store_operand<kPlace>(cpu, insn, value);
    enter_vector<V>(cpu);
  }
};
template <template <class, class> class Shape, class V>
Handler by_rex_w(const Insn& insn) {
  return insn.operand_size == 8 ? by_form<Shape<uint64_t, V>>(insn) : by_form<Shape<uint32_t, V>>(insn);
}

using Mmx = Packed<uint64_t, 8>;

struct LoadMmx {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    check_pending_x87(cpu);
    const Mmx value = load_vector<Mmx, kPlace>(cpu, insn);
    enter_mmx(cpu);
    write_vector(cpu, insn.reg, value);
  }
};
struct StoreMmx {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    check_pending_x87(cpu);
    const Mmx value = read_vector<Mmx>(cpu, insn.reg);
    if constexpr (is_register(kPlace))
      write_vector(cpu, insn.rm, value);
    else
      store_operand<kPlace>(cpu, insn, value);
    enter_mmx(cpu);
  }
};

// Between the register files.
void movdq2q(Cpu& cpu, const Insn& insn) {
  check_pending_x87(cpu);
  enter_mmx(cpu);
  write_vector(cpu, insn.reg, Mmx{half(cpu, insn.rm, 0)});
}
void movq2dq(Cpu& cpu, const Insn& insn) {
  check_pending_x87(cpu);
  enter_mmx(cpu);
  write_xmm(cpu, insn.reg, Xmm{read_vector<Mmx>(cpu, insn.rm)[0], 0});
}

// MASKMOVQ, MASKMOVDQU: the bytes whose mask byte has its top bit set, to DS:rDI. All that is written is
// checked first. The x87 state changes even if that faults, as on processors: the instruction is restarted
// anyway.
template <class V>
void masked_store(Cpu& cpu, const Insn& insn) {
  check_vector<V>(cpu);
  enter_vector<V>(cpu);
  const V value = read_vector<V>(cpu, insn.reg);
  const V mask = read_vector<V>(cpu, insn.rm);
  Insn target = insn;
  target.base = rdi;
  target.index = kNoRegister;
  target.displacement = 0;
  const uint64_t address = linear_address(cpu, target, sizeof(V), true);
  probe_write(cpu, address, sizeof(V));
  for (size_t i = 0; i < sizeof(V); ++i)
    if (mask[i] & 0x80) store<uint8_t>(cpu, address + i, value[i]);
}

constexpr Row kRows[] = {
    {"movups", "NP 0F 10 /r", "Vps,Wps", by_form<Load<false>>, kSse, {}, "sse"},
    {"movupd", "66 0F 10 /r", "Vpd,Wpd", by_form<Load<false>>, kSse, {}, "sse2"},
    {"movss", "F3 0F 10 /r", "Vss,Wss", by_form<LoadScalar<uint32_t>>, kSse, {}, "sse"},
    {"movsd", "F2 0F 10 /r", "Vsd,Wsd", by_form<LoadScalar<uint64_t>>, kSse, {}, "sse2"},
    {"movups", "NP 0F 11 /r", "Wps,Vps", by_form<Store<false>>, kSse, {}, "sse"},
    {"movupd", "66 0F 11 /r", "Wpd,Vpd", by_form<Store<false>>, kSse, {}, "sse2"},
    {"movss", "F3 0F 11 /r", "Wss,Vss", by_form<StoreScalar<uint32_t>>, kSse, {}, "sse"},
    {"movsd", "F2 0F 11 /r", "Wsd,Vsd", by_form<StoreScalar<uint64_t>>, kSse, {}, "sse2"},
    {"movlps", "NP 0F 12 /r mem", "Vq,Mq", going_on<load_half<0>>, kSse, {}, "sse"},
    {"movhlps", "NP 0F 12 /r reg", "Vq,Uq", going_on<movhlps>, kSse, {}, "sse"},
    {"movlpd", "66 0F 12 /r mem", "Vq,Mq", going_on<load_half<0>>, kSse, {}, "sse2"},
    {"movddup", "F2 0F 12 /r", "Vx,Wq", by_form<Movddup>, kSse, {}, "sse3"},
    {"movsldup", "F3 0F 12 /r", "Vps,Wps", by_form<Unary<even_singles, XmmDwords>>, kSse, {}, "sse3"},
    {"movlps", "NP 0F 13 /r mem", "Mq,Vq", going_on<store_half<0>>, kSse, {}, "sse"},
    {"movlpd", "66 0F 13 /r mem", "Mq,Vq", going_on<store_half<0>>, kSse, {}, "sse2"},
    {"movhps", "NP 0F 16 /r mem", "Vq,Mq", going_on<load_half<1>>, kSse, {}, "sse"},
    {"movlhps", "NP 0F 16 /r reg", "Vq,Uq", going_on<movlhps>, kSse, {}, "sse"},
    {"movhpd", "66 0F 16 /r mem", "Vq,Mq", going_on<load_half<1>>, kSse, {}, "sse2"},
    {"movshdup", "F3 0F 16 /r", "Vps,Wps", by_form<Unary<odd_singles, XmmDwords>>, kSse, {}, "sse3"},
    {"movhps", "NP 0F 17 /r mem", "Mq,Vq", going_on<store_half<1>>, kSse, {}, "sse"},
    {"movhpd", "66 0F 17 /r mem", "Mq,Vq", going_on<store_half<1>>, kSse, {}, "sse2"},
    {"movaps", "NP 0F 28 /r", "Vps,Wps", by_form<Load<true>>, kSse, {}, "sse"},
    {"movapd", "66 0F 28 /r", "Vpd,Wpd", by_form<Load<true>>, kSse, {}, "sse2"},
    {"movaps", "NP 0F 29 /r", "Wps,Vps", by_form<Store<true>>, kSse, {}, "sse"},
    {"movapd", "66 0F 29 /r", "Wpd,Vpd", by_form<Store<true>>, kSse, {}, "sse2"},
    {"movntps", "NP 0F 2B /r mem", "Mps,Vps", by_form<Store<true>>, kSse, {}, "sse"},
    {"movntpd", "66 0F 2B /r mem", "Mpd,Vpd", by_form<Store<true>>, kSse, {}, "sse2"},
    {"movd|movd|movq", "NP 0F 6E /r", "Pq,Ey", by_rex_w<LoadGeneral, Mmx>, kMmx, {}, "mmx"},
    {"movd|movd|movq", "66 0F 6E /r", "Vx,Ey", by_rex_w<LoadGeneral, Xmm>, kSse, {}, "sse2"},
    {"movq", "NP 0F 6F /r", "Pq,Qq", by_form<LoadMmx>, kMmx, {}, "mmx"},
    {"movdqa", "66 0F 6F /r", "Vx,Wx", by_form<Load<true>>, kSse, {}, "sse2"},
    {"movdqu", "F3 0F 6F /r", "Vx,Wx", by_form<Load<false>>, kSse, {}, "sse2"},
    {"movd|movd|movq", "NP 0F 7E /r", "Ey,Pq", by_rex_w<StoreGeneral, Mmx>, kMmx, {}, "mmx"},
    {"movd|movd|movq", "66 0F 7E /r", "Ey,Vx", by_rex_w<StoreGeneral, Xmm>, kSse, {}, "sse2"},
    {"movq", "F3 0F 7E /r", "Vq,Wq", by_form<LoadQuadword>, kSse, {}, "sse2"},
    {"movq", "NP 0F 7F /r", "Qq,Pq", by_form<StoreMmx>, kMmx, {}, "mmx"},
    {"movdqa", "66 0F 7F /r", "Wx,Vx", by_form<Store<true>>, kSse, {}, "sse2"},
    {"movdqu", "F3 0F 7F /r", "Wx,Vx", by_form<Store<false>>, kSse, {}, "sse2"},
    {"movq", "66 0F D6 /r", "Wq,Vq", by_form<StoreQuadword>, kSse, {}, "sse2"},
    {"movdq2q", "F2 0F D6 /r reg", "Pq,Uq", going_on<movdq2q>, kSse | kMmx, {}, "sse2"},
    {"movq2dq", "F3 0F D6 /r reg", "Vx,Nq", going_on<movq2dq>, kSse | kMmx, {}, "sse2"},
    {"movntq", "NP 0F E7 /r mem", "Mq,Pq", by_form<StoreMmx>, kMmx, {}, "sse"},
    {"movntdq", "66 0F E7 /r mem", "Mx,Vx", by_form<Store<true>>, kSse, {}, "sse2"},
    {"lddqu", "F2 0F F0 /r mem", "Vx,Mx", by_form<Load<false>>, kSse, {}, "sse3"},
    {"maskmovq", "NP 0F F7 /r reg", "Pq,Nq", only<masked_store<Packed<uint8_t, 8>>>, kMmx, {}, "sse"},
    {"maskmovdqu", "66 0F F7 /r reg", "Vx,Ux", only<masked_store<XmmBytes>>, kSse, {}, "sse2"},
    {"movntdqa", "66 0F 38 2A /r mem", "Vx,Mx", by_form<Load<true>>, kSse, {}, "sse4_1"},
};

}  // namespace

std::span<const Row> sse_move_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
