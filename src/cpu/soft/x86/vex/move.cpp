// Moves of vectors and between register files; the state of the vector registers as a whole.
#include "cpu/soft/x86/sse/mxcsr.h"
#include "cpu/soft/x86/sse/operands.h"
#include "cpu/soft/x86/sse/upper_halves.h"
#include "cpu/soft/x86/vex/groups.h"
#include "cpu/soft/x86/vex/on_host.h"

namespace alcove::cpu::soft {
namespace {

// Both: outside 64-bit mode only the eight registers that it has.
void zero_upper_halves(Cpu& cpu, const Insn&) {
  FpuState& fpu = cpu.fpu;
  if (cpu.in_64bit()) fpu.upper_in_use = false;
  for (unsigned i = 0; fpu.upper_in_use && i < 8; ++i) fpu.ymm[i].words[2] = fpu.ymm[i].words[3] = 0;
}

void zero_all(Cpu& cpu, const Insn&) {
  const unsigned count = cpu.in_64bit() ? 16 : 8;
  for (unsigned i = 0; i < count; ++i) cpu.fpu.ymm[i] = {};
  if (count == 16) cpu.fpu.upper_in_use = false;
}

void load_mxcsr(Cpu& cpu, const Insn& insn) {
  const auto value = load_operand<uint32_t>(cpu, insn);
  if (value & ~kMxcsrWritable) raise(cpu, kGeneralProtection, 0);
  write_mxcsr(cpu, value);
}

void store_mxcsr(Cpu& cpu, const Insn& insn) {
  store_operand(cpu, insn, read_mxcsr(cpu));
}

constexpr Row kRows[] = {
    avx("vmovups", "VEX.0F 10 /r", "Vx,Wx"),
    avx("vmovups", "VEX.0F 11 /r", "Wx,Vx"),
    avx("vmovupd", "VEX.66.0F 10 /r", "Vx,Wx"),
    avx("vmovupd", "VEX.66.0F 11 /r", "Wx,Vx"),
    avx("vmovss", "VEX.F3.0F 10 /r mem", "Vss,Wss"),
    avx("vmovss", "VEX.F3.0F 10 /r reg", "Vss,Hss,Uss"),
    avx("vmovss", "VEX.F3.0F 11 /r mem", "Wss,Vss"),
    avx("vmovss", "VEX.F3.0F 11 /r reg", "Uss,Hss,Vss"),
    avx("vmovsd", "VEX.F2.0F 10 /r mem", "Vsd,Wsd"),
    avx("vmovsd", "VEX.F2.0F 10 /r reg", "Vsd,Hsd,Usd"),
    avx("vmovsd", "VEX.F2.0F 11 /r mem", "Wsd,Vsd"),
    avx("vmovsd", "VEX.F2.0F 11 /r reg", "Usd,Hsd,Vsd"),
    avx("vmovlps", "VEX.128.0F 12 /r mem", "Vq,Hq,Mq"),
    avx("vmovhlps", "VEX.128.0F 12 /r reg", "Vq,Hq,Uq"),
    avx("vmovlpd", "VEX.128.66.0F 12 /r mem", "Vq,Hq,Mq"),
    avx("vmovddup", "VEX.128.F2.0F 12 /r", "Vdq,Wq"),
    avx("vmovddup", "VEX.256.F2.0F 12 /r", "Vqq,Wqq"),
    avx("vmovsldup", "VEX.F3.0F 12 /r", "Vx,Wx"),
    avx("vmovlps", "VEX.128.0F 13 /r mem", "Mq,Vq"),
    avx("vmovlpd", "VEX.128.66.0F 13 /r mem", "Mq,Vq"),
    avx("vmovhps", "VEX.128.0F 16 /r mem", "Vq,Hq,Mq"),
    avx("vmovlhps", "VEX.128.0F 16 /r reg", "Vq,Hq,Uq"),
    avx("vmovhpd", "VEX.128.66.0F 16 /r mem", "Vq,Hq,Mq"),
    avx("vmovshdup", "VEX.F3.0F 16 /r", "Vx,Wx"),
    avx("vmovhps", "VEX.128.0F 17 /r mem", "Mq,Vq"),
    avx("vmovhpd", "VEX.128.66.0F 17 /r mem", "Mq,Vq"),
    avx("vmovaps", "VEX.0F 28 /r", "Vx,Wx"),
    avx("vmovaps", "VEX.0F 29 /r", "Wx,Vx"),
    avx("vmovntps", "VEX.0F 2B /r mem", "Mx,Vx"),
    avx("vmovmskps", "VEX.0F 50 /r reg", "Gd,Ux"),
    avx("vmovapd", "VEX.66.0F 28 /r", "Vx,Wx"),
    avx("vmovapd", "VEX.66.0F 29 /r", "Wx,Vx"),
    avx("vmovntpd", "VEX.66.0F 2B /r mem", "Mx,Vx"),
    avx("vmovmskpd", "VEX.66.0F 50 /r reg", "Gd,Ux"),
    avx("vmovd|vmovd|vmovq", "VEX.128.66.0F 6E /r", "Vdq,Ey"),
    avx("vmovdqa", "VEX.66.0F 6F /r", "Vx,Wx"),
    avx("vmovdqu", "VEX.F3.0F 6F /r", "Vx,Wx"),
    avx("vmovd|vmovd|vmovq", "VEX.128.66.0F 7E /r", "Ey,Vdq"),
    avx("vmovq", "VEX.128.F3.0F 7E /r", "Vq,Wq"),
    avx("vmovdqa", "VEX.66.0F 7F /r", "Wx,Vx"),
    avx("vmovdqu", "VEX.F3.0F 7F /r", "Wx,Vx"),
    avx("vmovq", "VEX.128.66.0F D6 /r", "Wq,Vq"),
    avx2("vpmovmskb", "VEX.66.0F D7 /r reg", "Gd,Ux"),
    avx("vmovntdq", "VEX.66.0F E7 /r mem", "Mx,Vx"),
    avx("vlddqu", "VEX.F2.0F F0 /r mem", "Vx,Mx"),
    avx2("vmovntdqa", "VEX.66.0F38 2A /r mem", "Vx,Mx"),
    {"vzeroupper", "VEX.128.0F 77", "", on_host<Avx, zero_upper_halves>, kAvx, {}, "avx"},
    {"vzeroall", "VEX.256.0F 77", "", on_host<Avx, zero_all>, kAvx, {}, "avx"},
    {"vldmxcsr", "VEX.128.0F AE /2 mem", "Md", on_host<Avx, load_mxcsr>, kAvx, {}, "avx"},
    {"vstmxcsr", "VEX.128.0F AE /3 mem", "Md", on_host<Avx, store_mxcsr>, kAvx, {}, "avx"},
};

}  // namespace

std::span<const Row> vex_move_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
