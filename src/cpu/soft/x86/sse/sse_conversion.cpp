// Conversions between floating-point formats and integers.
#include "cpu/soft/x86/sse/float_operands.h"
#include "cpu/soft/x86/sse/groups.h"

namespace alcove::cpu::soft {
namespace {

ALCOVE_HOST_BINARY(cvtps2pd);
ALCOVE_HOST_BINARY(cvtpd2ps);
ALCOVE_HOST_BINARY(cvtss2sd);
ALCOVE_HOST_BINARY(cvtsd2ss);
ALCOVE_HOST_BINARY(cvtdq2ps);
ALCOVE_HOST_BINARY(cvtps2dq);
ALCOVE_HOST_BINARY(cvttps2dq);
ALCOVE_HOST_BINARY(cvtdq2pd);
ALCOVE_HOST_BINARY(cvtpd2dq);
ALCOVE_HOST_BINARY(cvttpd2dq);

// From a general register or memory; T is the integer's type.
#define ALCOVE_HOST_FROM_INTEGER(name)                \
  constexpr auto name = [](Xmm a, auto b) {           \
    asm volatile(#name " %1, %0" : "+x"(a) : "r"(b)); \
    return a;                                         \
  }
ALCOVE_HOST_FROM_INTEGER(cvtsi2ss);
ALCOVE_HOST_FROM_INTEGER(cvtsi2sd);

template <auto operation, class T>
struct FromInteger {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    const T b = is_register(kPlace) ? read_gpr<T>(cpu, insn.rm) : load_operand<T, kPlace>(cpu, insn);
    const Xmm a = read_xmm<Xmm>(cpu, insn.reg);
    write_xmm(cpu, insn.reg, under_mxcsr(cpu, [&] { return operation(a, b); }));
  }
};

#define ALCOVE_HOST_TO_INTEGER(name)                       \
  constexpr auto name = []<class T>(T, Xmm b) {            \
    T result;                                              \
    asm volatile(#name " %1, %0" : "=r"(result) : "x"(b)); \
    return result;                                         \
  }
ALCOVE_HOST_TO_INTEGER(cvtss2si);
ALCOVE_HOST_TO_INTEGER(cvtsd2si);
ALCOVE_HOST_TO_INTEGER(cvttss2si);
ALCOVE_HOST_TO_INTEGER(cvttsd2si);

template <auto operation, class T, class Source>
struct ToInteger {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    const Xmm b = load_float<Source, kPlace>(cpu, insn);
    write_gpr<T>(cpu, insn.reg, under_mxcsr(cpu, [&] { return operation(T(), b); }));
  }
};

template <auto operation>
Handler select_from_integer(const Insn& insn) {
  return insn.operand_size == 8 ? by_form<FromInteger<operation, uint64_t>>(insn)
                                : by_form<FromInteger<operation, uint32_t>>(insn);
}
template <auto operation, class Source>
Handler select_to_integer(const Insn& insn) {
  return insn.operand_size == 8 ? by_form<ToInteger<operation, uint64_t, Source>>(insn)
                                : by_form<ToInteger<operation, uint32_t, Source>>(insn);
}

using Mmx = Packed<uint64_t, 8>;

// CVTPI2PS, CVTPI2PD: two doublewords of an MMX register or memory. Zeros above them are converted along:
// they raise nothing. Memory as the source leaves the x87 state alone (for CVTPI2PS as on AMD's processors;
// the SDM says so of CVTPI2PD only).
template <auto operation, bool kKeepsHigh>
struct FromMmx {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    if constexpr (is_register(kPlace)) check_pending_x87(cpu);
    const Xmm b{load_vector<Mmx, kPlace>(cpu, insn)[0], 0};
    const Xmm old = read_xmm<Xmm>(cpu, insn.reg);
    if constexpr (is_register(kPlace)) enter_mmx(cpu);
    Xmm result = under_mxcsr(cpu, [&] { return operation(old, b); });
    if constexpr (kKeepsHigh) result[1] = old[1];
    write_xmm(cpu, insn.reg, result);
  }
};

// CVT(T)PS2PI, CVT(T)PD2PI. Of a packed single operand only the low half counts. The x87 state changes even
// if #XM follows, as on processors.
template <auto operation, class Source>
struct ToMmx {
  template <Place kPlace>
  [[gnu::flatten]] static void execute(Cpu& cpu, const Insn& insn) {
    check_pending_x87(cpu);
    Xmm b = load_float<Source, kPlace>(cpu, insn);
    if constexpr (sizeof(Source) == 8) b[1] = 0;
    enter_mmx(cpu);
    const Xmm result = under_mxcsr(cpu, [&] { return operation(b, b); });
    write_vector(cpu, insn.reg, Mmx{result[0]});
  }
};

constexpr Row kRows[] = {
    {"cvtpi2ps", "NP 0F 2A /r", "Vps,Qpi", by_form<FromMmx<cvtdq2ps, true>>, kSse | kMmx, {}, "sse"},
    {"cvtpi2pd", "66 0F 2A /r", "Vpd,Qpi", by_form<FromMmx<cvtdq2pd, false>>, kSse | kMmx, {}, "sse2"},
    {"cvtsi2ss", "F3 0F 2A /r", "Vss,Ey", select_from_integer<cvtsi2ss>, kSse, {}, "sse"},
    {"cvtsi2sd", "F2 0F 2A /r", "Vsd,Ey", select_from_integer<cvtsi2sd>, kSse, {}, "sse2"},
    {"cvttps2pi", "NP 0F 2C /r", "Ppi,Wq", by_form<ToMmx<cvttps2dq, uint64_t>>, kSse | kMmx, {}, "sse"},
    {"cvttpd2pi", "66 0F 2C /r", "Ppi,Wpd", by_form<ToMmx<cvttpd2dq, Xmm>>, kSse | kMmx, {}, "sse2"},
    {"cvttss2si", "F3 0F 2C /r", "Gy,Wss", select_to_integer<cvttss2si, uint32_t>, kSse, {}, "sse"},
    {"cvttsd2si", "F2 0F 2C /r", "Gy,Wsd", select_to_integer<cvttsd2si, uint64_t>, kSse, {}, "sse2"},
    {"cvtps2pi", "NP 0F 2D /r", "Ppi,Wq", by_form<ToMmx<cvtps2dq, uint64_t>>, kSse | kMmx, {}, "sse"},
    {"cvtpd2pi", "66 0F 2D /r", "Ppi,Wpd", by_form<ToMmx<cvtpd2dq, Xmm>>, kSse | kMmx, {}, "sse2"},
    {"cvtss2si", "F3 0F 2D /r", "Gy,Wss", select_to_integer<cvtss2si, uint32_t>, kSse, {}, "sse"},
    {"cvtsd2si", "F2 0F 2D /r", "Gy,Wsd", select_to_integer<cvtsd2si, uint64_t>, kSse, {}, "sse2"},
    {"cvtps2pd", "NP 0F 5A /r", "Vpd,Wq", by_form<FloatBinary<cvtps2pd, uint64_t>>, kSse, {}, "sse2"},
    {"cvtpd2ps", "66 0F 5A /r", "Vps,Wpd", by_form<FloatBinary<cvtpd2ps, Xmm>>, kSse, {}, "sse2"},
    {"cvtss2sd", "F3 0F 5A /r", "Vsd,Wss", by_form<FloatBinary<cvtss2sd, uint32_t>>, kSse, {}, "sse2"},
    {"cvtsd2ss", "F2 0F 5A /r", "Vss,Wsd", by_form<FloatBinary<cvtsd2ss, uint64_t>>, kSse, {}, "sse2"},
    {"cvtdq2ps", "NP 0F 5B /r", "Vps,Wx", by_form<FloatBinary<cvtdq2ps, Xmm>>, kSse, {}, "sse2"},
    {"cvtps2dq", "66 0F 5B /r", "Vx,Wps", by_form<FloatBinary<cvtps2dq, Xmm>>, kSse, {}, "sse2"},
    {"cvttps2dq", "F3 0F 5B /r", "Vx,Wps", by_form<FloatBinary<cvttps2dq, Xmm>>, kSse, {}, "sse2"},
    {"cvttpd2dq", "66 0F E6 /r", "Vx,Wpd", by_form<FloatBinary<cvttpd2dq, Xmm>>, kSse, {}, "sse2"},
    {"cvtpd2dq", "F2 0F E6 /r", "Vx,Wpd", by_form<FloatBinary<cvtpd2dq, Xmm>>, kSse, {}, "sse2"},
    {"cvtdq2pd", "F3 0F E6 /r", "Vpd,Wq", by_form<FloatBinary<cvtdq2pd, uint64_t>>, kSse, {}, "sse2"},
};

}  // namespace

std::span<const Row> sse_conversion_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
