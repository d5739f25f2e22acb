// Packed integers: packing, unpacking, shuffling, widening, single lanes.
#include "cpu/soft/x86/sse/groups.h"
#include "cpu/soft/x86/sse/lanes.h"
#include "cpu/soft/x86/sse/packed_rows.h"

namespace alcove::cpu::soft {
namespace {

// Lanes of a and b in turn, from their low or high halves.
template <bool kHigh>
inline constexpr auto unpack = []<class V>(V a, V b) {
  return pick_lanes(
      a, b, [](size_t i) { return i / 2 + (kHigh ? kLaneCount<V> / 2 : 0) + (i % 2 ? kLaneCount<V> : 0); });
};

// MMX PUNPCKL reads only the low half of its memory operand.
template <class T>
struct UnpackLowMmx {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    using V = Packed<T, 8>;
    check_pending_x87(cpu);
    V b{};
    if constexpr (is_register(kPlace))
      b = read_vector<V>(cpu, insn.rm);
    else
      b = std::bit_cast<V>(uint64_t{load_operand<uint32_t, kPlace>(cpu, insn)});
    enter_mmx(cpu);
    write_vector<V>(cpu, insn.reg, unpack<false>(read_vector<V>(cpu, insn.reg), b));
  }
};

// Lanes of a, then those of b, saturated to T, which is half as wide.
template <class T>
inline constexpr auto pack = []<class V>(V a, V b) {
  constexpr Lane<V> kLeast = std::numeric_limits<T>::min();
  constexpr Lane<V> kMost = std::numeric_limits<T>::max();
  const V least = V{} + kLeast;
  const V most = V{} + kMost;
  a = a < least ? least : a;
  b = b < least ? least : b;
  a = a > most ? most : a;
  b = b > most ? most : b;
  return as<Lane<V>>(pick_lanes(as<T>(a), as<T>(b), [](size_t i) { return 2 * i; }));
};

// A vector whose byte i is byte(bytes of a, i), put together in general registers.
template <class V, class Byte>
V gather_bytes(V a, Byte byte) {
  uint8_t bytes[sizeof(V)];
  std::memcpy(bytes, &a, sizeof a);
  Packed<uint64_t, sizeof(V)> result{};
  for (size_t word = 0; word < sizeof(V) / 8; ++word) {
    uint64_t gathered = 0;
    for (size_t i = 0; i < 8; ++i) gathered |= uint64_t{byte(bytes, 8 * word + i)} << 8 * i;
    result[word] = gathered;
  }
  return reinterpret_cast<V>(result);
}

// Lane i of the result is the lane of `a` that two bits of the control byte name, within four lanes.
constexpr auto shuffle_dwords = [](XmmDwords a, uint8_t control) {
  uint32_t lanes[4];
  std::memcpy(lanes, &a, sizeof a);
  const auto at = [&](unsigned i) { return uint64_t{lanes[control >> 2 * i & 3]}; };
  return as<uint32_t>(Xmm{at(0) | at(1) << 32, at(2) | at(3) << 32});
};
constexpr uint64_t shuffle_words(uint64_t a, uint8_t control) {
  uint64_t result = 0;
  for (unsigned i = 0; i < 4; ++i) result |= (a >> 16 * (control >> 2 * i & 3) & 0xffff) << 16 * i;
  return result;
}
constexpr auto shuffle_low_words = [](Xmm a, uint8_t control) {
  return Xmm{shuffle_words(a[0], control), a[1]};
};
constexpr auto shuffle_high_words = [](Xmm a, uint8_t control) {
  return Xmm{a[0], shuffle_words(a[1], control)};
};
constexpr auto shuffle_mmx_words = [](Packed<uint64_t, 8> a, uint8_t control) {
  return Packed<uint64_t, 8>{shuffle_words(a[0], control)};
};

constexpr auto shuffle_bytes = []<class V>(V a, V control) {
  uint8_t controls[sizeof(V)];
  std::memcpy(controls, &control, sizeof control);
  return gather_bytes(a, [&](const uint8_t* bytes, size_t i) -> uint8_t {
    return controls[i] & 0x80 ? 0 : bytes[controls[i] % sizeof(V)];
  });
};

// PALIGNR: bytes from `count` on of a above b.
constexpr auto align_right = []<class V>(V a, V b, uint8_t count) {
  uint8_t joined[3 * sizeof(V)] = {};
  std::memcpy(joined, &b, sizeof b);
  std::memcpy(joined + sizeof b, &a, sizeof a);
  V result{};
  if (count < 2 * sizeof(V)) std::memcpy(&result, joined + count, sizeof result);
  return result;
};

constexpr auto blend_words = [](XmmWords a, XmmWords b, uint8_t control) {
  for (size_t i = 0; i < 8; ++i)
    if (control >> i & 1) a[i] = b[i];
  return a;
};

// PMOVSX, PMOVZX: the low lanes, From wide, extended to To.
template <class From, class To>
struct Extend {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    constexpr size_t kBytes = 16 * sizeof(From) / sizeof(To);
    using Bits =
        std::conditional_t<kBytes == 8, uint64_t, std::conditional_t<kBytes == 4, uint32_t, uint16_t>>;
    const Bits bits =
        is_register(kPlace) ? read_xmm<Bits>(cpu, insn.rm) : load_operand<Bits, kPlace>(cpu, insn);
    From lanes[16 / sizeof(To)];
    std::memcpy(lanes, &bits, sizeof bits);
    Packed<To, 16> result{};
    for (size_t i = 0; i < 16 / sizeof(To); ++i) result[i] = lanes[i];
    write_xmm(cpu, insn.reg, result);
  }
};

template <class V>
void move_mask(Cpu& cpu, const Insn& insn) {
  check_vector<V>(cpu);
  const V value = read_vector<V>(cpu, insn.rm);
  uint32_t mask = 0;
  if constexpr (sizeof(V) == 16) {
    mask = static_cast<uint32_t>(__builtin_ia32_pmovmskb128(reinterpret_cast<Packed<char, 16>>(value)));
  } else {
    for (size_t i = 0; i < sizeof(V); ++i) mask |= uint32_t{value[i]} >> 7 << i;
  }
  write_gpr<uint32_t>(cpu, insn.reg, mask);
  enter_vector<V>(cpu);
}

// One lane of V from a general register or memory.
template <class V>
struct Insert {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    using T = Lane<V>;
    check_vector<V>(cpu);
    const T value = is_register(kPlace) ? read_gpr<T>(cpu, insn.rm) : load_operand<T, kPlace>(cpu, insn);
    enter_vector<V>(cpu);
    V target = read_vector<V>(cpu, insn.reg);
    target[insn.immediate % kLaneCount<V>] = value;
    write_vector(cpu, insn.reg, target);
  }
};

// One lane of V, zero-extended into a general register, or as it is to memory.
template <class V>
struct Extract {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    using T = Lane<V>;
    check_vector<V>(cpu);
    const T value = read_vector<V>(cpu, insn.reg)[insn.immediate % kLaneCount<V>];
    if constexpr (is_register(kPlace))
      write_gpr<uint64_t>(cpu, insn.rm, value);
    else
      store_operand<kPlace>(cpu, insn, value);
    enter_vector<V>(cpu);
  }
};
// The old PEXTRW, with the general register in ModRM.reg.
template <class V>
void extract_word(Cpu& cpu, const Insn& insn) {
  check_vector<V>(cpu);
  write_gpr<uint64_t>(cpu, insn.reg, read_vector<V>(cpu, insn.rm)[insn.immediate % kLaneCount<V>]);
  enter_vector<V>(cpu);
}
template <template <class> class Shape>
Handler dword_or_quadword(const Insn& insn) {
  return insn.operand_size == 8 ? by_form<Shape<Xmm>>(insn) : by_form<Shape<XmmDwords>>(insn);
}

#define ALCOVE_UNPACK_LOW(name, opcode, T)                                           \
  {name, "NP 0F " opcode " /r", "Pq,Qd", by_form<UnpackLowMmx<T>>, kMmx, {}, "mmx"}, \
      ALCOVE_PACKED_XMM(name, opcode, Binary, unpack<false>, T, "sse2")
#define ALCOVE_EXTEND(name, opcode, operand, From, To) \
  {name, "66 0F 38 " opcode " /r", "Vx," operand, by_form<Extend<From, To>>, kSse, {}, "sse4_1"}

constexpr Row kRows[] = {
    ALCOVE_UNPACK_LOW("punpcklbw", "60", uint8_t),
    ALCOVE_UNPACK_LOW("punpcklwd", "61", uint16_t),
    ALCOVE_UNPACK_LOW("punpckldq", "62", uint32_t),
    ALCOVE_PACKED_XMM("punpcklqdq", "6C", Binary, unpack<false>, uint64_t, "sse2"),
    ALCOVE_PACKED("punpckhbw", "68", Binary, unpack<true>, uint8_t, "mmx", "sse2"),
    ALCOVE_PACKED("punpckhwd", "69", Binary, unpack<true>, uint16_t, "mmx", "sse2"),
    ALCOVE_PACKED("punpckhdq", "6A", Binary, unpack<true>, uint32_t, "mmx", "sse2"),
    ALCOVE_PACKED_XMM("punpckhqdq", "6D", Binary, unpack<true>, uint64_t, "sse2"),
    ALCOVE_PACKED("packsswb", "63", Binary, pack<int8_t>, int16_t, "mmx", "sse2"),
    ALCOVE_PACKED("packuswb", "67", Binary, pack<uint8_t>, int16_t, "mmx", "sse2"),
    ALCOVE_PACKED("packssdw", "6B", Binary, pack<int16_t>, int32_t, "mmx", "sse2"),
    ALCOVE_PACKED_XMM("packusdw", "38 2B", Binary, pack<uint16_t>, int32_t, "sse4_1"),
    {"pshufw",
     "NP 0F 70 /r",
     "Pq,Qq,Ib",
     by_form<UnaryImmediate<shuffle_mmx_words, Packed<uint64_t, 8>>>,
     kMmx,
     {},
     "sse"},
    ALCOVE_PACKED_XMM_IMMEDIATE("pshufd", "70", UnaryImmediate, shuffle_dwords, uint32_t, "sse2"),
    {"pshufhw",
     "F3 0F 70 /r",
     "Vx,Wx,Ib",
     by_form<UnaryImmediate<shuffle_high_words, Xmm>>,
     kSse,
     {},
     "sse2"},
    {"pshuflw", "F2 0F 70 /r", "Vx,Wx,Ib", by_form<UnaryImmediate<shuffle_low_words, Xmm>>, kSse, {}, "sse2"},
    ALCOVE_PACKED("pshufb", "38 00", Binary, shuffle_bytes, uint8_t, "ssse3", "ssse3"),
    ALCOVE_PACKED_IMMEDIATE("palignr", "3A 0F", BinaryImmediate, align_right, uint8_t, "ssse3", "ssse3"),
    ALCOVE_PACKED_XMM_IMMEDIATE("pblendw", "3A 0E", BinaryImmediate, blend_words, uint16_t, "sse4_1"),
    ALCOVE_EXTEND("pmovsxbw", "20", "Wq", int8_t, int16_t),
    ALCOVE_EXTEND("pmovsxbd", "21", "Wd", int8_t, int32_t),
    ALCOVE_EXTEND("pmovsxbq", "22", "Ww", int8_t, int64_t),
    ALCOVE_EXTEND("pmovsxwd", "23", "Wq", int16_t, int32_t),
    ALCOVE_EXTEND("pmovsxwq", "24", "Wd", int16_t, int64_t),
    ALCOVE_EXTEND("pmovsxdq", "25", "Wq", int32_t, int64_t),
    ALCOVE_EXTEND("pmovzxbw", "30", "Wq", uint8_t, uint16_t),
    ALCOVE_EXTEND("pmovzxbd", "31", "Wd", uint8_t, uint32_t),
    ALCOVE_EXTEND("pmovzxbq", "32", "Ww", uint8_t, uint64_t),
    ALCOVE_EXTEND("pmovzxwd", "33", "Wq", uint16_t, uint32_t),
    ALCOVE_EXTEND("pmovzxwq", "34", "Wd", uint16_t, uint64_t),
    ALCOVE_EXTEND("pmovzxdq", "35", "Wq", uint32_t, uint64_t),
    {"pmovmskb", "NP 0F D7 /r reg", "Gd,Nq", going_on<move_mask<Packed<uint8_t, 8>>>, kMmx, {}, "sse"},
    {"pmovmskb", "66 0F D7 /r reg", "Gd,Ux", going_on<move_mask<XmmBytes>>, kSse, {}, "sse2"},
    {"pinsrw", "NP 0F C4 /r reg", "Pq,Rd,Ib", by_form<Insert<Packed<uint16_t, 8>>>, kMmx, {}, "sse"},
    {"pinsrw", "NP 0F C4 /r mem", "Pq,Mw,Ib", by_form<Insert<Packed<uint16_t, 8>>>, kMmx, {}, "sse"},
    {"pinsrw", "66 0F C4 /r reg", "Vx,Rd,Ib", by_form<Insert<XmmWords>>, kSse, {}, "sse2"},
    {"pinsrw", "66 0F C4 /r mem", "Vx,Mw,Ib", by_form<Insert<XmmWords>>, kSse, {}, "sse2"},
    {"pinsrb", "66 0F 3A 20 /r reg", "Vx,Rd,Ib", by_form<Insert<XmmBytes>>, kSse, {}, "sse4_1"},
    {"pinsrb", "66 0F 3A 20 /r mem", "Vx,Mb,Ib", by_form<Insert<XmmBytes>>, kSse, {}, "sse4_1"},
    {"pinsrd|pinsrd|pinsrq", "66 0F 3A 22 /r", "Vx,Ey,Ib", dword_or_quadword<Insert>, kSse, {}, "sse4_1"},
    {"pextrw", "NP 0F C5 /r reg", "Gd,Nq,Ib", going_on<extract_word<Packed<uint16_t, 8>>>, kMmx, {}, "sse"},
    {"pextrw", "66 0F C5 /r reg", "Gd,Ux,Ib", going_on<extract_word<XmmWords>>, kSse, {}, "sse2"},
    {"pextrb", "66 0F 3A 14 /r reg", "Rd,Vx,Ib", by_form<Extract<XmmBytes>>, kSse, {}, "sse4_1"},
    {"pextrb", "66 0F 3A 14 /r mem", "Mb,Vx,Ib", by_form<Extract<XmmBytes>>, kSse, {}, "sse4_1"},
    {"pextrw", "66 0F 3A 15 /r reg", "Rd,Vx,Ib", by_form<Extract<XmmWords>>, kSse, {}, "sse4_1"},
    {"pextrw", "66 0F 3A 15 /r mem", "Mw,Vx,Ib", by_form<Extract<XmmWords>>, kSse, {}, "sse4_1"},
    {"pextrd|pextrd|pextrq", "66 0F 3A 16 /r", "Ey,Vx,Ib", dword_or_quadword<Extract>, kSse, {}, "sse4_1"},
};

}  // namespace

std::span<const Row> packed_shuffle_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
