#include "cpu/soft/x86/x87/host_unit.h"

#include <cstring>

// Every x87 instruction, each followed by a jump to where RDX says: four bytes apart, by opcode and ModRM.
// Register forms first, then memory forms with the operand at [RDI].
asm(R"(
  .pushsection .text
  .balign 16
  .local alcove_x87_register_forms
alcove_x87_register_forms:
  .set alcove_opcode, 0xd8
  .rept 8
    .set alcove_modrm, 0xc0
    .rept 64
      .byte alcove_opcode, alcove_modrm
      jmp *%rdx
      .set alcove_modrm, alcove_modrm + 1
    .endr
    .set alcove_opcode, alcove_opcode + 1
  .endr
  .local alcove_x87_memory_forms
alcove_x87_memory_forms:
  .set alcove_opcode, 0xd8
  .rept 8
    .set alcove_modrm, 0x07
    .rept 8
      .byte alcove_opcode, alcove_modrm
      jmp *%rdx
      .set alcove_modrm, alcove_modrm + 8
    .endr
    .set alcove_opcode, alcove_opcode + 1
  .endr
  .popsection
)");

extern "C" const char alcove_x87_register_forms[4 * 8 * 64];
extern "C" const char alcove_x87_memory_forms[4 * 8 * 8];

namespace alcove::cpu::soft {
namespace {

constexpr uint16_t kStickyFlags = kX87Exceptions | kX87StackFault;

const char* host_instruction(uint8_t opcode, uint8_t modrm) {
  const size_t row = opcode & 7;
  if (modrm >= 0xc0) return alcove_x87_register_forms + 4 * (64 * row + (modrm & 63));
  return alcove_x87_memory_forms + 4 * (8 * row + (modrm >> 3 & 7));
}

}  // namespace

void run_on_host_x87(const FpuState& fpu, uint8_t opcode, uint8_t modrm, void* memory, uint32_t flags,
                     HostX87Result& result) {
  FxImage& image = result.image;
  save_x87_image(fpu, image, false);
  // Without the flags of earlier exceptions, so that none is pending.
  const auto status = static_cast<uint16_t>(fpu.status & ~(kStickyFlags | kErrorSummary | kX87Busy));
  std::memcpy(image.bytes.data() + 2, &status, sizeof status);

  uint64_t rax = uint64_t{flags & 0xff} << 8;
  const char* instruction = host_instruction(opcode, modrm);
  // FXRSTOR also loads MXCSR, here with its own value, and the XMM registers. OF, which SAHF doesn't load, is
  // set before the instruction to see whether it is cleared.
  asm volatile(
      "stmxcsr 24(%[image])\n\t"
      "fxrstor (%[image])\n\t"
      "lea 1f(%%rip), %%rdx\n\t"
      "movb $0x7f, %%al\n\t"
      "incb %%al\n\t"
      "sahf\n\t"
      "jmp *%[instruction]\n"
      "1:\n\t"
      "lahf\n\t"
      "seto %%al\n\t"
      "fxsave (%[image])\n\t"
      "fninit"
      : "+a"(rax)
      : [image] "r"(&image), [instruction] "r"(instruction), "D"(memory)
      : "rdx", "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
        "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");

  result.flags = (rax >> 8 & 0xff & kArithmeticFlags) | (rax & 1 ? flags & kOf : 0);
  uint16_t after = 0;
  std::memcpy(&after, image.bytes.data() + 2, sizeof after);
  result.raised = after & ~fpu.control & kX87Exceptions;
}

void commit_x87(FpuState& fpu, const HostX87Result& result) {
  const uint16_t earlier = fpu.status & kStickyFlags;
  load_x87_registers(fpu, result.image);
  fpu.status |= earlier;
  update_x87_summary(fpu);
}

}  // namespace alcove::cpu::soft
