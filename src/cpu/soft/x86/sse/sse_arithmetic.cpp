// Floating-point arithmetic.
#include "cpu/soft/x86/sse/float_operands.h"
#include "cpu/soft/x86/sse/groups.h"

namespace alcove::cpu::soft {
namespace {

#define ALCOVE_HOST_FOUR(name)  \
  ALCOVE_HOST_BINARY(name##ps); \
  ALCOVE_HOST_BINARY(name##pd); \
  ALCOVE_HOST_BINARY(name##ss); \
  ALCOVE_HOST_BINARY(name##sd)

ALCOVE_HOST_FOUR(add);
ALCOVE_HOST_FOUR(sub);
ALCOVE_HOST_FOUR(mul);
ALCOVE_HOST_FOUR(div);
ALCOVE_HOST_FOUR(min);
ALCOVE_HOST_FOUR(max);
ALCOVE_HOST_FOUR(sqrt);
ALCOVE_HOST_BINARY(rcpps);
ALCOVE_HOST_BINARY(rcpss);
ALCOVE_HOST_BINARY(rsqrtps);
ALCOVE_HOST_BINARY(rsqrtss);
ALCOVE_HOST_BINARY(haddps);
ALCOVE_HOST_BINARY(haddpd);
ALCOVE_HOST_BINARY(hsubps);
ALCOVE_HOST_BINARY(hsubpd);
ALCOVE_HOST_BINARY(addsubps);
ALCOVE_HOST_BINARY(addsubpd);
// Bits 7-4 of the control byte mean nothing (Intel SDM vol. 2, ROUNDPD).
ALCOVE_HOST_IMMEDIATE(roundps, 16);
ALCOVE_HOST_IMMEDIATE(roundpd, 16);
ALCOVE_HOST_IMMEDIATE(roundss, 16);
ALCOVE_HOST_IMMEDIATE(roundsd, 16);
ALCOVE_HOST_IMMEDIATE(dpps, 256);
ALCOVE_HOST_IMMEDIATE(dppd, 256);

#define ALCOVE_SINGLE_ROWS(name, opcode)                                                                 \
  {#name "ps", "NP 0F " opcode " /r", "Vps,Wps", by_form<FloatBinary<name##ps, Xmm>>, kSse, {}, "sse"},  \
      {#name "ss", "F3 0F " opcode " /r", "Vss,Wss", by_form<FloatBinary<name##ss, uint32_t>>, kSse, {}, \
       "sse"}
#define ALCOVE_FLOAT_ROWS(name, opcode)                                                                      \
  ALCOVE_SINGLE_ROWS(name, opcode),                                                                          \
      {#name "pd", "66 0F " opcode " /r", "Vpd,Wpd", by_form<FloatBinary<name##pd, Xmm>>, kSse, {}, "sse2"}, \
      {#name "sd", "F2 0F " opcode " /r", "Vsd,Wsd", by_form<FloatBinary<name##sd, uint64_t>>, kSse, {},     \
       "sse2"}

constexpr Row kRows[] = {
    ALCOVE_FLOAT_ROWS(sqrt, "51"),
    ALCOVE_SINGLE_ROWS(rsqrt, "52"),
    ALCOVE_SINGLE_ROWS(rcp, "53"),
    ALCOVE_FLOAT_ROWS(add, "58"),
    ALCOVE_FLOAT_ROWS(mul, "59"),
    ALCOVE_FLOAT_ROWS(sub, "5C"),
    ALCOVE_FLOAT_ROWS(min, "5D"),
    ALCOVE_FLOAT_ROWS(div, "5E"),
    ALCOVE_FLOAT_ROWS(max, "5F"),
    {"haddpd", "66 0F 7C /r", "Vpd,Wpd", by_form<FloatBinary<haddpd, Xmm>>, kSse, {}, "sse3"},
    {"haddps", "F2 0F 7C /r", "Vps,Wps", by_form<FloatBinary<haddps, Xmm>>, kSse, {}, "sse3"},
    {"hsubpd", "66 0F 7D /r", "Vpd,Wpd", by_form<FloatBinary<hsubpd, Xmm>>, kSse, {}, "sse3"},
    {"hsubps", "F2 0F 7D /r", "Vps,Wps", by_form<FloatBinary<hsubps, Xmm>>, kSse, {}, "sse3"},
    {"addsubpd", "66 0F D0 /r", "Vpd,Wpd", by_form<FloatBinary<addsubpd, Xmm>>, kSse, {}, "sse3"},
    {"addsubps", "F2 0F D0 /r", "Vps,Wps", by_form<FloatBinary<addsubps, Xmm>>, kSse, {}, "sse3"},
    {"roundps",
     "66 0F 3A 08 /r",
     "Vps,Wps,Ib",
     by_form<FloatBinaryImmediate<roundps, Xmm>>,
     kSse,
     {},
     "sse4_1"},
    {"roundpd",
     "66 0F 3A 09 /r",
     "Vpd,Wpd,Ib",
     by_form<FloatBinaryImmediate<roundpd, Xmm>>,
     kSse,
     {},
     "sse4_1"},
    {"roundss",
     "66 0F 3A 0A /r",
     "Vss,Wss,Ib",
     by_form<FloatBinaryImmediate<roundss, uint32_t>>,
     kSse,
     {},
     "sse4_1"},
    {"roundsd",
     "66 0F 3A 0B /r",
     "Vsd,Wsd,Ib",
     by_form<FloatBinaryImmediate<roundsd, uint64_t>>,
     kSse,
     {},
     "sse4_1"},
    {"dpps", "66 0F 3A 40 /r", "Vps,Wps,Ib", by_form<FloatBinaryImmediate<dpps, Xmm>>, kSse, {}, "sse4_1"},
    {"dppd", "66 0F 3A 41 /r", "Vpd,Wpd,Ib", by_form<FloatBinaryImmediate<dppd, Xmm>>, kSse, {}, "sse4_1"},
};

}  // namespace

std::span<const Row> sse_arithmetic_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
