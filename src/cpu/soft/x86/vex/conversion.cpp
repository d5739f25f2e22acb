// Conversions between number formats.
#include "cpu/soft/x86/vex/groups.h"
#include "cpu/soft/x86/vex/on_host.h"

namespace alcove::cpu::soft {
namespace {

constexpr Row half(const char* mnemonic, const char* encoding, const char* operands) {
  return {mnemonic, encoding, operands, on_host<F16c>, kAvx, {}, "f16c"};
}

constexpr Row kRows[] = {
    avx("vcvtsi2ss", "VEX.F3.0F 2A /r", "Vss,Hss,Ey"),
    avx("vcvtsi2sd", "VEX.F2.0F 2A /r", "Vsd,Hsd,Ey"),
    avx("vcvttss2si", "VEX.F3.0F 2C /r", "Gy,Wss"),
    avx("vcvttsd2si", "VEX.F2.0F 2C /r", "Gy,Wsd"),
    avx("vcvtss2si", "VEX.F3.0F 2D /r", "Gy,Wss"),
    avx("vcvtsd2si", "VEX.F2.0F 2D /r", "Gy,Wsd"),
    avx("vcvtps2pd", "VEX.0F 5A /r", "Vx,Wxh"),
    avx("vcvtpd2ps", "VEX.66.0F 5A /r", "Vdq,Wx"),
    avx("vcvtss2sd", "VEX.F3.0F 5A /r", "Vsd,Hsd,Wss"),
    avx("vcvtsd2ss", "VEX.F2.0F 5A /r", "Vss,Hss,Wsd"),
    avx("vcvtdq2ps", "VEX.0F 5B /r", "Vx,Wx"),
    avx("vcvtps2dq", "VEX.66.0F 5B /r", "Vx,Wx"),
    avx("vcvttps2dq", "VEX.F3.0F 5B /r", "Vx,Wx"),
    avx("vcvttpd2dq", "VEX.66.0F E6 /r", "Vdq,Wx"),
    avx("vcvtdq2pd", "VEX.F3.0F E6 /r", "Vx,Wxh"),
    avx("vcvtpd2dq", "VEX.F2.0F E6 /r", "Vdq,Wx"),
    half("vcvtph2ps", "VEX.66.0F38.W0 13 /r", "Vx,Wxh"),
    half("vcvtps2ph", "VEX.66.0F3A.W0 1D /r", "Wxh,Vx,Ib"),
};

}  // namespace

std::span<const Row> vex_conversion_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
