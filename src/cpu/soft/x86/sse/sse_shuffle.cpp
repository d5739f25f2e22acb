// Floating-point elements moved about as bits: shuffles, blends, logic, sign masks.
#include "cpu/soft/x86/sse/groups.h"
#include "cpu/soft/x86/sse/lanes.h"

namespace alcove::cpu::soft {
namespace {

constexpr auto bit_and = [](Xmm a, Xmm b) { return a & b; };
constexpr auto bit_and_not = [](Xmm a, Xmm b) { return ~a & b; };
constexpr auto bit_or = [](Xmm a, Xmm b) { return a | b; };
constexpr auto bit_xor = [](Xmm a, Xmm b) { return a ^ b; };

constexpr auto unpack_low_singles = [](XmmDwords a, XmmDwords b) {
  return XmmDwords{a[0], b[0], a[1], b[1]};
};
constexpr auto unpack_high_singles = [](XmmDwords a, XmmDwords b) {
  return XmmDwords{a[2], b[2], a[3], b[3]};
};
constexpr auto unpack_low_doubles = [](Xmm a, Xmm b) { return Xmm{a[0], b[0]}; };
constexpr auto unpack_high_doubles = [](Xmm a, Xmm b) { return Xmm{a[1], b[1]}; };

constexpr auto shuffle_singles = [](XmmDwords a, XmmDwords b, uint8_t control) {
  return XmmDwords{a[control & 3], a[control >> 2 & 3], b[control >> 4 & 3], b[control >> 6]};
};
constexpr auto shuffle_doubles = [](Xmm a, Xmm b, uint8_t control) {
  return Xmm{a[control & 1], b[control >> 1 & 1]};
};

constexpr auto blend = []<class V>(V a, V b, uint8_t control) {
  for (size_t i = 0; i < kLaneCount<V>; ++i)
    if (control >> i & 1) a[i] = b[i];
  return a;
};

// BLENDVPS, BLENDVPD, PBLENDVB: by the top bit of each lane of XMM0.
template <class V>
struct BlendVariable {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    const V b = load_vector<V, kPlace>(cpu, insn);
    const V mask = read_xmm<V>(cpu, 0);
    V a = read_xmm<V>(cpu, insn.reg);
    for (size_t i = 0; i < kLaneCount<V>; ++i)
      if (mask[i] >> (8 * sizeof(Lane<V>) - 1)) a[i] = b[i];
    write_xmm(cpu, insn.reg, a);
  }
};

// MOVMSKPS, MOVMSKPD
template <class V>
void move_mask(Cpu& cpu, const Insn& insn) {
  const V value = read_xmm<V>(cpu, insn.rm);
  uint32_t mask = 0;
  for (size_t i = 0; i < kLaneCount<V>; ++i)
    mask |= static_cast<uint32_t>(value[i] >> (8 * sizeof(Lane<V>) - 1)) << i;
  write_gpr<uint32_t>(cpu, insn.reg, mask);
}

// INSERTPS: bits 7-6 choose the source's element (a memory operand has but one), 5-4 the target's; 3-0 clear.
struct InsertSingle {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    const auto control = static_cast<uint8_t>(insn.immediate);
    const uint32_t value = is_register(kPlace) ? read_xmm<XmmDwords>(cpu, insn.rm)[control >> 6]
                                               : load_operand<uint32_t, kPlace>(cpu, insn);
    XmmDwords target = read_xmm<XmmDwords>(cpu, insn.reg);
    target[control >> 4 & 3] = value;
    for (size_t i = 0; i < 4; ++i)
      if (control >> i & 1) target[i] = 0;
    write_xmm(cpu, insn.reg, target);
  }
};

struct ExtractSingle {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    const uint32_t value = read_xmm<XmmDwords>(cpu, insn.reg)[insn.immediate & 3];
    if constexpr (is_register(kPlace))
      write_gpr<uint32_t>(cpu, insn.rm, value);
    else
      store_operand<kPlace>(cpu, insn, value);
  }
};

template <auto operation>
Handler select_bits(const Insn& insn) {
  return by_form<Binary<operation, Xmm>>(insn);
}

constexpr Row kRows[] = {
    {"andps", "NP 0F 54 /r", "Vps,Wps", select_bits<bit_and>, kSse, {}, "sse"},
    {"andpd", "66 0F 54 /r", "Vpd,Wpd", select_bits<bit_and>, kSse, {}, "sse2"},
    {"andnps", "NP 0F 55 /r", "Vps,Wps", select_bits<bit_and_not>, kSse, {}, "sse"},
    {"andnpd", "66 0F 55 /r", "Vpd,Wpd", select_bits<bit_and_not>, kSse, {}, "sse2"},
    {"orps", "NP 0F 56 /r", "Vps,Wps", select_bits<bit_or>, kSse, {}, "sse"},
    {"orpd", "66 0F 56 /r", "Vpd,Wpd", select_bits<bit_or>, kSse, {}, "sse2"},
    {"xorps", "NP 0F 57 /r", "Vps,Wps", select_bits<bit_xor>, kSse, {}, "sse"},
    {"xorpd", "66 0F 57 /r", "Vpd,Wpd", select_bits<bit_xor>, kSse, {}, "sse2"},
    {"unpcklps", "NP 0F 14 /r", "Vps,Wps", by_form<Binary<unpack_low_singles, XmmDwords>>, kSse, {}, "sse"},
    {"unpcklpd", "66 0F 14 /r", "Vpd,Wpd", by_form<Binary<unpack_low_doubles, Xmm>>, kSse, {}, "sse2"},
    {"unpckhps", "NP 0F 15 /r", "Vps,Wps", by_form<Binary<unpack_high_singles, XmmDwords>>, kSse, {}, "sse"},
    {"unpckhpd", "66 0F 15 /r", "Vpd,Wpd", by_form<Binary<unpack_high_doubles, Xmm>>, kSse, {}, "sse2"},
    {"shufps",
     "NP 0F C6 /r",
     "Vps,Wps,Ib",
     by_form<BinaryImmediate<shuffle_singles, XmmDwords>>,
     kSse,
     {},
     "sse"},
    {"shufpd", "66 0F C6 /r", "Vpd,Wpd,Ib", by_form<BinaryImmediate<shuffle_doubles, Xmm>>, kSse, {}, "sse2"},
    {"movmskps", "NP 0F 50 /r reg", "Gd,Ups", going_on<move_mask<XmmDwords>>, kSse, {}, "sse"},
    {"movmskpd", "66 0F 50 /r reg", "Gd,Upd", going_on<move_mask<Xmm>>, kSse, {}, "sse2"},
    {"blendps",
     "66 0F 3A 0C /r",
     "Vps,Wps,Ib",
     by_form<BinaryImmediate<blend, XmmDwords>>,
     kSse,
     {},
     "sse4_1"},
    {"blendpd", "66 0F 3A 0D /r", "Vpd,Wpd,Ib", by_form<BinaryImmediate<blend, Xmm>>, kSse, {}, "sse4_1"},
    {"pblendvb", "66 0F 38 10 /r", "Vx,Wx,XMM0", by_form<BlendVariable<XmmBytes>>, kSse, {}, "sse4_1"},
    {"blendvps", "66 0F 38 14 /r", "Vps,Wps,XMM0", by_form<BlendVariable<XmmDwords>>, kSse, {}, "sse4_1"},
    {"blendvpd", "66 0F 38 15 /r", "Vpd,Wpd,XMM0", by_form<BlendVariable<Xmm>>, kSse, {}, "sse4_1"},
    {"extractps", "66 0F 3A 17 /r", "Ed,Vps,Ib", by_form<ExtractSingle>, kSse, {}, "sse4_1"},
    {"insertps", "66 0F 3A 21 /r", "Vps,Wss,Ib", by_form<InsertSingle>, kSse, {}, "sse4_1"},
};

}  // namespace

std::span<const Row> sse_shuffle_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
