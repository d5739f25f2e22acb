#include "cpu/soft/x86/disassembler.h"

#include <gtest/gtest.h>

#include <vector>

#include "cpu/soft/x86/decoder.h"

namespace alcove::cpu::soft {
namespace {

std::string text(std::vector<uint8_t> bytes, CodeMode mode = CodeMode::bits64) {
  Insn insn;
  if (decode(bytes, mode, 0, insn) == DecodeError::needs_more_bytes) return "(more)";
  return disassemble(insn, 0x1000);
}

TEST(Disassembler, Operands) {
  EXPECT_EQ(text({0xf0, 0x01, 0x44, 0x8b, 0xfc}), "lock add dword ptr [rbx + rcx*4 - 0x4], eax");
  EXPECT_EQ(text({0x48, 0x83, 0xec, 0x08}), "sub rsp, 0x8");
  EXPECT_EQ(text({0x83, 0xc8, 0xff}), "or eax, 0xffffffff");
  EXPECT_EQ(text({0x8a, 0xe1}), "mov ah, cl");
  EXPECT_EQ(text({0x40, 0x8a, 0xe1}), "mov spl, cl");
  EXPECT_EQ(text({0x48, 0x8b, 0x05, 0x10, 0, 0, 0}), "mov rax, qword ptr [rip = 0x1017]");
  EXPECT_EQ(text({0x64, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0}), "mov eax, dword ptr fs:[0x28]");
  EXPECT_EQ(text({0x0f, 0xb6, 0xc0}), "movzx eax, al");
  EXPECT_EQ(text({0x41, 0x57}), "push r15");
  EXPECT_EQ(text({0xd3, 0xe0}), "shl eax, cl");
}

TEST(Disassembler, NamesWithConditionsAndSizes) {
  EXPECT_EQ(text({0x74, 0x10}), "jz 0x1012");
  EXPECT_EQ(text({0x0f, 0x45, 0xc1}), "cmovnz eax, ecx");
  EXPECT_EQ(text({0x0f, 0x92, 0xc0}), "setb al");
  EXPECT_EQ(text({0xf3, 0x48, 0xa5}), "rep movsq qword ptr es:[rdi], qword ptr ds:[rsi]");
  EXPECT_EQ(text({0x48, 0x98}), "cdqe");
  EXPECT_EQ(text({0x90}), "nop");
  EXPECT_EQ(text({0xf3, 0x90}), "pause");
  EXPECT_EQ(text({0x41, 0x90}), "xchg r8d, eax");
  EXPECT_EQ(text({0xe3, 0xfe}), "jrcxz 0x1000");
}

TEST(Disassembler, OtherModes) {
  EXPECT_EQ(text({0x8b, 0x40, 0x02}, CodeMode::bits16), "mov ax, word ptr [bx + si + 0x2]");
  EXPECT_EQ(text({0x66, 0x8b, 0x40, 0x02}, CodeMode::bits32), "mov ax, word ptr [eax + 0x2]");
  EXPECT_EQ(text({0x06}, CodeMode::bits64), "(invalid)");
}

}  // namespace
}  // namespace alcove::cpu::soft
