// Comparisons: masks (CMPPS…), flags (COMISS…), PTEST.
#include "cpu/soft/x86/sse/float_operands.h"
#include "cpu/soft/x86/sse/groups.h"

namespace alcove::cpu::soft {
namespace {

// Bits 7-3 of the predicate mean nothing to these encodings.
ALCOVE_HOST_IMMEDIATE(cmpps, 8);
ALCOVE_HOST_IMMEDIATE(cmppd, 8);
ALCOVE_HOST_IMMEDIATE(cmpss, 8);
ALCOVE_HOST_IMMEDIATE(cmpsd, 8);

// OF, SF and AF become 0.
#define ALCOVE_HOST_COMPARISON(name)                                                                 \
  constexpr auto name = [](Xmm a, Xmm b) {                                                           \
    bool zero, parity, carry;                                                                        \
    asm volatile(#name " %4, %3" : "=@ccz"(zero), "=@ccp"(parity), "=@ccc"(carry) : "x"(a), "x"(b)); \
    return (zero ? kZf : 0) | (parity ? kPf : 0) | (carry ? kCf : 0);                                \
  }
ALCOVE_HOST_COMPARISON(comiss);
ALCOVE_HOST_COMPARISON(comisd);
ALCOVE_HOST_COMPARISON(ucomiss);
ALCOVE_HOST_COMPARISON(ucomisd);

template <auto operation, class Source>
struct CompareToFlags {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    const Xmm b = load_float<Source, kPlace>(cpu, insn);
    const Xmm a = read_xmm<Xmm>(cpu, insn.reg);
    cpu.flags.set_arithmetic_bits(under_mxcsr(cpu, [&] { return operation(a, b); }));
  }
};

struct TestBits {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    const Xmm b = load_vector<Xmm, kPlace>(cpu, insn);
    const Xmm a = read_xmm<Xmm>(cpu, insn.reg);
    const Xmm both = a & b;
    const Xmm only_b = ~a & b;
    cpu.flags.set_arithmetic_bits(((both[0] | both[1]) == 0 ? kZf : 0) |
                                  ((only_b[0] | only_b[1]) == 0 ? kCf : 0));
  }
};

constexpr FlagEffects kAll{.written = kArithmeticFlags};

constexpr Row kRows[] = {
    {"cmpps", "NP 0F C2 /r", "Vps,Wps,Ib", by_form<FloatBinaryImmediate<cmpps, Xmm>>, kSse, {}, "sse"},
    {"cmppd", "66 0F C2 /r", "Vpd,Wpd,Ib", by_form<FloatBinaryImmediate<cmppd, Xmm>>, kSse, {}, "sse2"},
    {"cmpss", "F3 0F C2 /r", "Vss,Wss,Ib", by_form<FloatBinaryImmediate<cmpss, uint32_t>>, kSse, {}, "sse"},
    {"cmpsd", "F2 0F C2 /r", "Vsd,Wsd,Ib", by_form<FloatBinaryImmediate<cmpsd, uint64_t>>, kSse, {}, "sse2"},
    {"ucomiss", "NP 0F 2E /r", "Vss,Wss", by_form<CompareToFlags<ucomiss, uint32_t>>, kSse, kAll, "sse"},
    {"ucomisd", "66 0F 2E /r", "Vsd,Wsd", by_form<CompareToFlags<ucomisd, uint64_t>>, kSse, kAll, "sse2"},
    {"comiss", "NP 0F 2F /r", "Vss,Wss", by_form<CompareToFlags<comiss, uint32_t>>, kSse, kAll, "sse"},
    {"comisd", "66 0F 2F /r", "Vsd,Wsd", by_form<CompareToFlags<comisd, uint64_t>>, kSse, kAll, "sse2"},
    {"ptest", "66 0F 38 17 /r", "Vx,Wx", by_form<TestBits>, kSse, kAll, "sse4_1"},
};

}  // namespace

std::span<const Row> sse_compare_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
