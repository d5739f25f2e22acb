// MXCSR, FXSAVE, FXRSTOR, EMMS.
#include "cpu/soft/x86/sse/groups.h"
#include "cpu/soft/x86/sse/mxcsr.h"
#include "cpu/soft/x86/sse/operands.h"
#include "cpu/soft/x86/x87/state.h"

namespace alcove::cpu::soft {
namespace {

constexpr size_t kChunk = 16;
constexpr size_t kMxcsrOffset = 24;  // MXCSR_MASK follows it.

void ldmxcsr(Cpu& cpu, const Insn& insn) {
  const auto value = load_operand<uint32_t>(cpu, insn);
  if (value & ~kMxcsrWritable) raise(cpu, kGeneralProtection, 0);
  write_mxcsr(cpu, value);
}

void stmxcsr(Cpu& cpu, const Insn& insn) {
  store_operand(cpu, insn, read_mxcsr(cpu));
}

uint64_t image_address(Cpu& cpu, const Insn& insn, bool write) {
  const uint64_t address = linear_address(cpu, insn, sizeof(FxImage), write);
  if (address % kChunk != 0) raise(cpu, kGeneralProtection, 0);
  return address;
}

// XMM8-15 exist only in 64-bit mode; outside it their place in the image is left alone.
size_t xmm_registers(const Cpu& cpu) {
  return cpu.in_64bit() ? 16 : 8;
}

// The x87 part, MXCSR and XMM registers move whatever CR4.OSFXSR says.
void fxsave(Cpu& cpu, const Insn& insn) {
  const uint64_t address = image_address(cpu, insn, true);
  probe_write(cpu, address + sizeof(FxImage) - 1, 1);
  probe_write(cpu, address, sizeof(FxImage));
  FxImage image;
  save_x87_image(cpu.fpu, image, insn.operand_size == 8);
  const uint32_t mxcsr[] = {read_mxcsr(cpu), kMxcsrWritable};
  std::memcpy(image.bytes.data() + kMxcsrOffset, mxcsr, sizeof mxcsr);
  for (size_t i = 0; i < xmm_registers(cpu); ++i)
    std::memcpy(image.bytes.data() + kFxImageXmm + kChunk * i, &cpu.fpu.ymm[i], kChunk);
  const size_t end = kFxImageXmm + kChunk * xmm_registers(cpu);
  for (size_t offset = 0; offset < end; offset += kChunk) {
    Xmm chunk;
    std::memcpy(&chunk, image.bytes.data() + offset, kChunk);
    store<Xmm>(cpu, address + offset, chunk);
  }
}

void fxrstor(Cpu& cpu, const Insn& insn) {
  const uint64_t address = image_address(cpu, insn, false);
  load<uint8_t>(cpu, address + sizeof(FxImage) - 1);  // Fault there first, as AMD's processors do.
  FxImage image;
  for (size_t offset = 0; offset < sizeof image; offset += kChunk) {
    const auto chunk = load<Xmm>(cpu, address + offset);
    std::memcpy(image.bytes.data() + offset, &chunk, kChunk);
  }
  uint32_t mxcsr = 0;
  std::memcpy(&mxcsr, image.bytes.data() + kMxcsrOffset, sizeof mxcsr);
  if (mxcsr & ~kMxcsrWritable) raise(cpu, kGeneralProtection, 0);
  load_x87_image(cpu.fpu, image, insn.operand_size == 8);
  write_mxcsr(cpu, mxcsr);
  for (size_t i = 0; i < xmm_registers(cpu); ++i)
    std::memcpy(&cpu.fpu.ymm[i], image.bytes.data() + kFxImageXmm + kChunk * i, kChunk);
}

void emms(Cpu& cpu, const Insn&) {
  check_pending_x87(cpu);
  enter_mmx(cpu);
  cpu.fpu.tag = 0xffff;
}

constexpr Row kRows[] = {
    {"emms", "NP 0F 77", "", only<emms>, kMmx, {}, "mmx"},
    {"fxsave|fxsave|fxsave64", "NP 0F AE /0 mem", "Mm", only<fxsave>, kX87, {}, "fxsr"},
    {"fxrstor|fxrstor|fxrstor64", "NP 0F AE /1 mem", "Mm", only<fxrstor>, kX87, {}, "fxsr"},
    {"ldmxcsr", "NP 0F AE /2 mem", "Md", only<ldmxcsr>, kSse, {}, "sse"},
    {"stmxcsr", "NP 0F AE /3 mem", "Md", only<stmxcsr>, kSse, {}, "sse"},
};

}  // namespace

std::span<const Row> sse_state_rows() {
  return kRows;
}

}  // namespace alcove::cpu::soft
