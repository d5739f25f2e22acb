// Floating point arithmetic, comparisons and blends.
#include "cpu/soft/x86/flags.h"
#include "cpu/soft/x86/vex/groups.h"
#include "cpu/soft/x86/vex/on_host.h"

namespace alcove::cpu::soft {
namespace {

constexpr FlagEffects kCompares{.written = kArithmeticFlags};

constexpr Row kRows[] = {
    avx("vunpcklps", "VEX.0F 14 /r", "Vx,Hx,Wx"),
    avx("vunpcklpd", "VEX.66.0F 14 /r", "Vx,Hx,Wx"),
    avx("vunpckhps", "VEX.0F 15 /r", "Vx,Hx,Wx"),
    avx("vunpckhpd", "VEX.66.0F 15 /r", "Vx,Hx,Wx"),
    avx("vucomiss", "VEX.0F 2E /r", "Vss,Wss", kCompares),
    avx("vucomisd", "VEX.66.0F 2E /r", "Vsd,Wsd", kCompares),
    avx("vcomiss", "VEX.0F 2F /r", "Vss,Wss", kCompares),
    avx("vcomisd", "VEX.66.0F 2F /r", "Vsd,Wsd", kCompares),
    avx("vsqrtps", "VEX.0F 51 /r", "Vx,Wx"),
    avx("vsqrtpd", "VEX.66.0F 51 /r", "Vx,Wx"),
    avx("vsqrtss", "VEX.F3.0F 51 /r", "Vss,Hss,Wss"),
    avx("vsqrtsd", "VEX.F2.0F 51 /r", "Vsd,Hsd,Wsd"),
    avx("vrsqrtps", "VEX.0F 52 /r", "Vx,Wx"),
    avx("vrsqrtss", "VEX.F3.0F 52 /r", "Vss,Hss,Wss"),
    avx("vrcpps", "VEX.0F 53 /r", "Vx,Wx"),
    avx("vrcpss", "VEX.F3.0F 53 /r", "Vss,Hss,Wss"),
    avx("vandps", "VEX.0F 54 /r", "Vx,Hx,Wx"),
    avx("vandpd", "VEX.66.0F 54 /r", "Vx,Hx,Wx"),
    avx("vandnps", "VEX.0F 55 /r", "Vx,Hx,Wx"),
    avx("vandnpd", "VEX.66.0F 55 /r", "Vx,Hx,Wx"),
    avx("vorps", "VEX.0F 56 /r", "Vx,Hx,Wx"),
    avx("vorpd", "VEX.66.0F 56 /r", "Vx,Hx,Wx"),
    avx("vxorps", "VEX.0F 57 /r", "Vx,Hx,Wx"),
    avx("vxorpd", "VEX.66.0F 57 /r", "Vx,Hx,Wx"),
    avx("vaddps", "VEX.0F 58 /r", "Vx,Hx,Wx"),
    avx("vaddpd", "VEX.66.0F 58 /r", "Vx,Hx,Wx"),
    avx("vaddss", "VEX.F3.0F 58 /r", "Vss,Hss,Wss"),
    avx("vaddsd", "VEX.F2.0F 58 /r", "Vsd,Hsd,Wsd"),
    avx("vmulps", "VEX.0F 59 /r", "Vx,Hx,Wx"),
    avx("vmulpd", "VEX.66.0F 59 /r", "Vx,Hx,Wx"),
    avx("vmulss", "VEX.F3.0F 59 /r", "Vss,Hss,Wss"),
    avx("vmulsd", "VEX.F2.0F 59 /r", "Vsd,Hsd,Wsd"),
    avx("vsubps", "VEX.0F 5C /r", "Vx,Hx,Wx"),
    avx("vsubpd", "VEX.66.0F 5C /r", "Vx,Hx,Wx"),
    avx("vsubss", "VEX.F3.0F 5C /r", "Vss,Hss,Wss"),
    avx("vsubsd", "VEX.F2.0F 5C /r", "Vsd,Hsd,Wsd"),
    avx("vminps", "VEX.0F 5D /r", "Vx,Hx,Wx"),
    avx("vminpd", "VEX.66.0F 5D /r", "Vx,Hx,Wx"),
    avx("vminss", "VEX.F3.0F 5D /r", "Vss,Hss,Wss"),
    avx("vminsd", "VEX.F2.0F 5D /r", "Vsd,Hsd,Wsd"),
    avx("vdivps", "VEX.0F 5E /r", "Vx,Hx,Wx"),
    avx("vdivpd", "VEX.66.0F 5E /r", "Vx,Hx,Wx"),
    avx("vdivss", "VEX.F3.0F 5E /r", "Vss,Hss,Wss"),
    avx("vdivsd", "VEX.F2.0F 5E /r", "Vsd,Hsd,Wsd"),
    avx("vmaxps", "VEX.0F 5F /r", "Vx,Hx,Wx"),
    avx("vmaxpd", "VEX.66.0F 5F /r", "Vx,Hx,Wx"),
    avx("vmaxss", "VEX.F3.0F 5F /r", "Vss,Hss,Wss"),
    avx("vmaxsd", "VEX.F2.0F 5F /r", "Vsd,Hsd,Wsd"),
    avx("vhaddpd", "VEX.66.0F 7C /r", "Vx,Hx,Wx"),
    avx("vhaddps", "VEX.F2.0F 7C /r", "Vx,Hx,Wx"),
    avx("vhsubpd", "VEX.66.0F 7D /r", "Vx,Hx,Wx"),
    avx("vhsubps", "VEX.F2.0F 7D /r", "Vx,Hx,Wx"),
    avx("vaddsubpd", "VEX.66.0F D0 /r", "Vx,Hx,Wx"),
    avx("vaddsubps", "VEX.F2.0F D0 /r", "Vx,Hx,Wx"),
    avx("vcmpps", "VEX.0F C2 /r", "Vx,Hx,Wx,Ib"),
    avx("vcmppd", "VEX.66.0F C2 /r", "Vx,Hx,Wx,Ib"),
    avx("vcmpss", "VEX.F3.0F C2 /r", "Vss,Hss,Wss,Ib"),
    avx("vcmpsd", "VEX.F2.0F C2 /r", "Vsd,Hsd,Wsd,Ib"),
    avx("vshufps", "VEX.0F C6 /r", "Vx,Hx,Wx,Ib"),
    avx("vshufpd", "VEX.66.0F C6 /r", "Vx,Hx,Wx,Ib"),
    avx("vtestps", "VEX.66.0F38.W0 0E /r", "Vx,Wx", kCompares),
    avx("vtestpd", "VEX.66.0F38.W0 0F /r", "Vx,Wx", kCompares),
    avx("vroundps", "VEX.66.0F3A 08 /r", "Vx,Wx,Ib"),
    avx("vroundpd", "VEX.66.0F3A 09 /r", "Vx,Wx,Ib"),
    avx("vroundss", "VEX.66.0F3A 0A /r", "Vss,Hss,Wss,Ib"),
    avx("vroundsd", "VEX.66.0F3A 0B /r", "Vsd,Hsd,Wsd,Ib"),
    avx("vblendps", "VEX.66.0F3A 0C /r", "Vx,Hx,Wx,Ib"),
    avx("vblendpd", "VEX.66.0F3A 0D /r", "Vx,Hx,Wx,Ib"),
    avx("vdpps", "VEX.66.0F3A 40 /r", "Vx,Hx,Wx,Ib"),
    avx("vdppd", "VEX.128.66.0F3A 41 /r", "Vx,Hx,Wx,Ib"),
    avx("vblendvps", "VEX.66.0F3A.W0 4A /r", "Vx,Hx,Wx,Lx"),
    avx("vblendvpd", "VEX.66.0F3A.W0 4B /r", "Vx,Hx,Wx,Lx"),
};

}  // namespace

std::span<const Row> vex_float_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
