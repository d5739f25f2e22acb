// PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (Intel SDM vol. 2, 4.1).
#include <cstdlib>

#include "cpu/soft/x86/sse/groups.h"
#include "cpu/soft/x86/sse/lanes.h"

namespace alcove::cpu::soft {
namespace {

// Fields of the control byte.
enum Aggregation : uint8_t { kEqualAny, kRanges, kEqualEach, kEqualOrdered };
constexpr uint8_t kNegate = 1u << 4;
constexpr uint8_t kOnlyValid = 1u << 5;        // Negation leaves elements beyond the string's end.
constexpr uint8_t kMostSignificant = 1u << 6;  // Of the index; or a mask of whole elements.

struct Comparison {
  uint32_t bits = 0;   // IntRes2
  unsigned count = 0;  // Of elements in a register.
  bool first_ends = false, second_ends = false;
};

// One bit for each element of `b`, the string; `a` is what is looked for.
template <class V>
uint32_t aggregate(V a, unsigned a_length, V b, unsigned b_length, Aggregation aggregation) {
  constexpr unsigned kCount = kLaneCount<V>;
  uint32_t bits = 0;
  for (unsigned j = 0; j < kCount; ++j) {
    bool set = false;
    switch (aggregation) {
      case kEqualAny:
        for (unsigned i = 0; i < a_length; ++i) set |= a[i] == b[j];
        set &= j < b_length;
        break;
      case kRanges:
        for (unsigned i = 0; i + 1 < a_length; i += 2) set |= a[i] <= b[j] && b[j] <= a[i + 1];
        set &= j < b_length;
        break;
      case kEqualEach:
        set = j < a_length && j < b_length ? a[j] == b[j] : j >= a_length && j >= b_length;
        break;
      case kEqualOrdered:
        set = true;
        for (unsigned i = 0; i < a_length && i + j < kCount; ++i) set &= i + j < b_length && a[i] == b[i + j];
        break;
    }
    bits |= uint32_t{set} << j;
  }
  return bits;
}

template <class V>
Comparison compare(V a, unsigned a_length, V b, unsigned b_length, uint8_t control) {
  constexpr unsigned kCount = kLaneCount<V>;
  Comparison result{.count = kCount, .first_ends = a_length < kCount, .second_ends = b_length < kCount};
  result.bits = aggregate(a, a_length, b, b_length, static_cast<Aggregation>(control >> 2 & 3));
  if (control & kNegate) result.bits ^= (1u << (control & kOnlyValid ? b_length : kCount)) - 1;
  return result;
}

template <class V>
unsigned implicit_length(V value) {
  unsigned length = 0;
  while (length < kLaneCount<V> && value[length] != 0) ++length;
  return length;
}

// The absolute value of the register, at most the number of elements.
unsigned explicit_length(const Cpu& cpu, unsigned number, bool wide, unsigned count) {
  const uint64_t value = cpu.gpr[number];
  const int64_t length = wide ? static_cast<int64_t>(value) : static_cast<int32_t>(value);
  const uint64_t absolute = length < 0 ? -static_cast<uint64_t>(length) : static_cast<uint64_t>(length);
  return static_cast<unsigned>(std::min<uint64_t>(absolute, count));
}

template <class T, bool kExplicit>
Comparison compare_strings(const Cpu& cpu, const Insn& insn, Xmm first, Xmm second) {
  const auto a = as<T>(first);
  const auto b = as<T>(second);
  const auto control = static_cast<uint8_t>(insn.immediate);
  if constexpr (kExplicit) {
    constexpr unsigned kCount = 16 / sizeof(T);
    const bool wide = insn.operand_size == 8;
    return compare(a, explicit_length(cpu, rax, wide, kCount), b, explicit_length(cpu, rdx, wide, kCount),
                   control);
  } else {
    return compare(a, implicit_length(a), b, implicit_length(b), control);
  }
}

void set_index(Cpu& cpu, const Comparison& comparison, uint8_t control) {
  unsigned index = comparison.count;
  if (comparison.bits != 0)
    index = static_cast<unsigned>(control & kMostSignificant ? std::bit_width(comparison.bits) - 1
                                                             : std::countr_zero(comparison.bits));
  write_gpr<uint32_t>(cpu, rcx, index);
}

void set_mask(Cpu& cpu, const Comparison& comparison, uint8_t control) {
  Xmm mask{comparison.bits, 0};
  if (control & kMostSignificant) {
    XmmBytes bytes{};
    const unsigned size = 16 / comparison.count;
    for (unsigned i = 0; i < 16; ++i) bytes[i] = comparison.bits >> i / size & 1 ? 0xff : 0;
    mask = as<uint64_t>(bytes);
  }
  write_xmm(cpu, 0, mask);
}

template <bool kExplicit, bool kMask>
struct StringCompare {
  // The memory operand needs no alignment.
  template <Place kPlace>
  static void execute(Cpu& cpu, const Insn& insn) {
    const Xmm second =
        is_register(kPlace) ? read_xmm<Xmm>(cpu, insn.rm) : load_unaligned<Xmm, kPlace>(cpu, insn);
    const Xmm first = read_xmm<Xmm>(cpu, insn.reg);
    const auto control = static_cast<uint8_t>(insn.immediate);
    Comparison comparison;
    switch (control & 3) {
      case 0:
        comparison = compare_strings<uint8_t, kExplicit>(cpu, insn, first, second);
        break;
      case 1:
        comparison = compare_strings<uint16_t, kExplicit>(cpu, insn, first, second);
        break;
      case 2:
        comparison = compare_strings<int8_t, kExplicit>(cpu, insn, first, second);
        break;
      case 3:
        comparison = compare_strings<int16_t, kExplicit>(cpu, insn, first, second);
        break;
    }
    if constexpr (kMask)
      set_mask(cpu, comparison, control);
    else
      set_index(cpu, comparison, control);
    cpu.flags.set_arithmetic_bits((comparison.bits ? kCf : 0) | (comparison.second_ends ? kZf : 0) |
                                  (comparison.first_ends ? kSf : 0) | (comparison.bits & 1 ? kOf : 0));
  }
};

constexpr FlagEffects kAll{.written = kArithmeticFlags};

constexpr Row kRows[] = {
    {"pcmpestrm", "66 0F 3A 60 /r", "Vx,Wx,Ib", by_form<StringCompare<true, true>>, kSse, kAll, "sse4_2"},
    {"pcmpestri", "66 0F 3A 61 /r", "Vx,Wx,Ib", by_form<StringCompare<true, false>>, kSse, kAll, "sse4_2"},
    {"pcmpistrm", "66 0F 3A 62 /r", "Vx,Wx,Ib", by_form<StringCompare<false, true>>, kSse, kAll, "sse4_2"},
    {"pcmpistri", "66 0F 3A 63 /r", "Vx,Wx,Ib", by_form<StringCompare<false, false>>, kSse, kAll, "sse4_2"},
};

}  // namespace

std::span<const Row> sse_string_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
