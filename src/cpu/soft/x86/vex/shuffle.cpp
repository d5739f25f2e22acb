// Shuffles, broadcasts, insertions and extractions; packing and widening of integers.
#include "cpu/soft/x86/vex/groups.h"
#include "cpu/soft/x86/vex/on_host.h"

namespace alcove::cpu::soft {
namespace {

constexpr Row only64(const char* mnemonic, const char* encoding, const char* operands) {
  return {mnemonic, encoding, operands, on_host<Avx>, kAvx | kOnly64, {}, "avx"};
}

constexpr Row kRows[] = {
    avx2("vpunpcklbw", "VEX.66.0F 60 /r", "Vx,Hx,Wx"),
    avx2("vpunpcklwd", "VEX.66.0F 61 /r", "Vx,Hx,Wx"),
    avx2("vpunpckldq", "VEX.66.0F 62 /r", "Vx,Hx,Wx"),
    avx2("vpacksswb", "VEX.66.0F 63 /r", "Vx,Hx,Wx"),
    avx2("vpackuswb", "VEX.66.0F 67 /r", "Vx,Hx,Wx"),
    avx2("vpunpckhbw", "VEX.66.0F 68 /r", "Vx,Hx,Wx"),
    avx2("vpunpckhwd", "VEX.66.0F 69 /r", "Vx,Hx,Wx"),
    avx2("vpunpckhdq", "VEX.66.0F 6A /r", "Vx,Hx,Wx"),
    avx2("vpackssdw", "VEX.66.0F 6B /r", "Vx,Hx,Wx"),
    avx2("vpunpcklqdq", "VEX.66.0F 6C /r", "Vx,Hx,Wx"),
    avx2("vpunpckhqdq", "VEX.66.0F 6D /r", "Vx,Hx,Wx"),
    avx2("vpshufd", "VEX.66.0F 70 /r", "Vx,Wx,Ib"),
    avx2("vpshufhw", "VEX.F3.0F 70 /r", "Vx,Wx,Ib"),
    avx2("vpshuflw", "VEX.F2.0F 70 /r", "Vx,Wx,Ib"),
    avx("vpinsrw", "VEX.128.66.0F C4 /r", "Vdq,Hdq,Ew,Ib"),
    avx("vpextrw", "VEX.128.66.0F C5 /r reg", "Gd,Udq,Ib"),
    avx2("vpshufb", "VEX.66.0F38 00 /r", "Vx,Hx,Wx"),
    avx("vpermilps", "VEX.66.0F38.W0 0C /r", "Vx,Hx,Wx"),
    avx("vpermilpd", "VEX.66.0F38.W0 0D /r", "Vx,Hx,Wx"),
    avx2("vpermps", "VEX.256.66.0F38.W0 16 /r", "Vqq,Hqq,Wqq"),
    avx("vbroadcastss", "VEX.66.0F38.W0 18 /r", "Vx,Wss"),
    avx("vbroadcastsd", "VEX.256.66.0F38.W0 19 /r", "Vqq,Wsd"),
    avx("vbroadcastf128", "VEX.256.66.0F38.W0 1A /r mem", "Vqq,Mdq"),
    avx2("vpmovsxbw", "VEX.66.0F38 20 /r", "Vx,Wxh"),
    avx2("vpmovsxbd", "VEX.66.0F38 21 /r", "Vx,Wxf"),
    avx2("vpmovsxbq", "VEX.66.0F38 22 /r", "Vx,Wxe"),
    avx2("vpmovsxwd", "VEX.66.0F38 23 /r", "Vx,Wxh"),
    avx2("vpmovsxwq", "VEX.66.0F38 24 /r", "Vx,Wxf"),
    avx2("vpmovsxdq", "VEX.66.0F38 25 /r", "Vx,Wxh"),
    avx2("vpmovzxbw", "VEX.66.0F38 30 /r", "Vx,Wxh"),
    avx2("vpmovzxbd", "VEX.66.0F38 31 /r", "Vx,Wxf"),
    avx2("vpmovzxbq", "VEX.66.0F38 32 /r", "Vx,Wxe"),
    avx2("vpmovzxwd", "VEX.66.0F38 33 /r", "Vx,Wxh"),
    avx2("vpmovzxwq", "VEX.66.0F38 34 /r", "Vx,Wxf"),
    avx2("vpmovzxdq", "VEX.66.0F38 35 /r", "Vx,Wxh"),
    avx2("vpackusdw", "VEX.66.0F38 2B /r", "Vx,Hx,Wx"),
    avx2("vpermd", "VEX.256.66.0F38.W0 36 /r", "Vqq,Hqq,Wqq"),
    avx2("vpbroadcastd", "VEX.66.0F38.W0 58 /r", "Vx,Wd"),
    avx2("vpbroadcastq", "VEX.66.0F38.W0 59 /r", "Vx,Wq"),
    avx2("vbroadcasti128", "VEX.256.66.0F38.W0 5A /r mem", "Vqq,Mdq"),
    avx2("vpbroadcastb", "VEX.66.0F38.W0 78 /r", "Vx,Wb"),
    avx2("vpbroadcastw", "VEX.66.0F38.W0 79 /r", "Vx,Ww"),
    avx2("vpermq", "VEX.256.66.0F3A.W1 00 /r", "Vqq,Wqq,Ib"),
    avx2("vpermpd", "VEX.256.66.0F3A.W1 01 /r", "Vqq,Wqq,Ib"),
    avx2("vpblendd", "VEX.66.0F3A.W0 02 /r", "Vx,Hx,Wx,Ib"),
    avx("vpermilps", "VEX.66.0F3A.W0 04 /r", "Vx,Wx,Ib"),
    avx("vpermilpd", "VEX.66.0F3A.W0 05 /r", "Vx,Wx,Ib"),
    avx("vperm2f128", "VEX.256.66.0F3A.W0 06 /r", "Vqq,Hqq,Wqq,Ib"),
    avx2("vpblendw", "VEX.66.0F3A 0E /r", "Vx,Hx,Wx,Ib"),
    avx2("vpalignr", "VEX.66.0F3A 0F /r", "Vx,Hx,Wx,Ib"),
    avx("vpextrb", "VEX.128.66.0F3A 14 /r", "Eb,Vdq,Ib"),
    avx("vpextrw", "VEX.128.66.0F3A 15 /r", "Ew,Vdq,Ib"),
    avx("vpextrd", "VEX.128.66.0F3A.W0 16 /r", "Ed,Vdq,Ib"),
    only64("vpextrq", "VEX.128.66.0F3A.W1 16 /r", "Eq,Vdq,Ib"),
    avx("vextractps", "VEX.128.66.0F3A 17 /r", "Ed,Vdq,Ib"),
    avx("vinsertf128", "VEX.256.66.0F3A.W0 18 /r", "Vqq,Hqq,Wdq,Ib"),
    avx("vextractf128", "VEX.256.66.0F3A.W0 19 /r", "Wdq,Vqq,Ib"),
    avx("vpinsrb", "VEX.128.66.0F3A 20 /r", "Vdq,Hdq,Eb,Ib"),
    avx("vinsertps", "VEX.128.66.0F3A 21 /r", "Vdq,Hdq,Wd,Ib"),
    avx("vpinsrd", "VEX.128.66.0F3A.W0 22 /r", "Vdq,Hdq,Ed,Ib"),
    only64("vpinsrq", "VEX.128.66.0F3A.W1 22 /r", "Vdq,Hdq,Eq,Ib"),
    avx2("vinserti128", "VEX.256.66.0F3A.W0 38 /r", "Vqq,Hqq,Wdq,Ib"),
    avx2("vextracti128", "VEX.256.66.0F3A.W0 39 /r", "Wdq,Vqq,Ib"),
    avx2("vperm2i128", "VEX.256.66.0F3A.W0 46 /r", "Vqq,Hqq,Wqq,Ib"),
    avx2("vpblendvb", "VEX.66.0F3A.W0 4C /r", "Vx,Hx,Wx,Lx"),
};

}  // namespace

std::span<const Row> vex_shuffle_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
