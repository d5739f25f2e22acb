// The assembler's encodings, read back by our decoder and by another one where that is installed.
#include "cpu/soft/translator/assembler.h"

#ifdef ALCOVE_HAVE_ZYDIS
#include <Zydis/Zydis.h>
#endif
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <string>

#include "cpu/soft/x86/decoder.h"
#include "cpu/soft/x86/disassembler.h"

namespace alcove::cpu::soft {
namespace {

constexpr int32_t kDisplacements[] = {0, 1, -1, 127, -128, 128, -129, 0x12345678, INT32_MIN};

struct Code {
  std::array<uint8_t, 64> bytes{};
  size_t size = 0;
};

Code assemble(const std::function<void(Assembler&)>& write) {
  Code code;
  Assembler assembler(code.bytes, code.bytes.data());
  write(assembler);
  code.size = assembler.size();
  return code;
}

// One instruction and nothing else.
Insn read(const Code& code) {
  Insn insn;
  EXPECT_EQ(decode(std::span(code.bytes).first(code.size), CodeMode::bits64, 0, insn), DecodeError::none);
  EXPECT_EQ(insn.length, code.size);
  return insn;
}

uint8_t number(HostRegister reg) {
  return reg == kNoHostRegister ? kNoRegister : static_cast<uint8_t>(reg);
}

TEST(Assembler, EveryAddress) {
  for (unsigned reg = 0; reg < 16; ++reg) {
    for (unsigned base = 0; base <= kNoHostRegister; ++base) {
      for (unsigned index = 0; index <= kNoHostRegister; ++index) {
        if (index == kHostRsp) continue;  // Cannot be one.
        for (const int32_t displacement : kDisplacements) {
          const bool gs = (reg + base + index) % 2;
          const HostMemory memory{.base = static_cast<HostRegister>(base),
                                  .index = static_cast<HostRegister>(index),
                                  .scale = static_cast<uint8_t>(index == kNoHostRegister ? 0 : reg % 4),
                                  .displacement = displacement,
                                  .gs = gs};
          const Insn insn =
              read(assemble([&](Assembler& a) { a.load(static_cast<HostRegister>(reg), memory); }));
          ASSERT_EQ(insn.reg, reg);
          ASSERT_FALSE(insn.is_register);
          ASSERT_EQ(insn.base, number(memory.base));
          ASSERT_EQ(insn.index, number(memory.index));
          ASSERT_EQ(insn.scale, memory.scale);
          ASSERT_EQ(insn.displacement, displacement);
          ASSERT_EQ(insn.operand_size, 8);
          ASSERT_EQ(insn.segment == 5, gs);
        }
      }
    }
  }
}

TEST(Assembler, RegistersPrefixesAndMaps) {
  for (unsigned reg = 0; reg < 16; ++reg) {
    for (unsigned rm = 0; rm < 16; ++rm) {
      const auto with = [&](const HostOpcode& opcode) {
        return read(assemble([&](Assembler& a) { a.op(opcode, reg, static_cast<HostRegister>(rm)); }));
      };
      for (const Insn& insn : {with({.opcode = 0x01}), with({.opcode = 0x01, .wide = true}),
                               with({.opcode = 0x01, .operand_size = true}), with({.opcode = 0xaf, .map = 1}),
                               with({.opcode = 0xb8, .map = 1, .mandatory = 0xf3}),
                               with({.opcode = 0x00, .map = 2, .operand_size = true})}) {
        ASSERT_EQ(insn.reg, reg);
        ASSERT_EQ(insn.rm, rm);
        ASSERT_TRUE(insn.is_register);
      }
      EXPECT_EQ(with({.opcode = 0x01}).operand_size, 4);
      EXPECT_EQ(with({.opcode = 0x01, .wide = true}).operand_size, 8);
      EXPECT_EQ(with({.opcode = 0x01, .operand_size = true}).operand_size, 2);
      // SPL to DIL, not AH to BH.
      const Insn bytes = with({.opcode = 0x00, .byte_registers = true});
      EXPECT_EQ(bytes.reg_byte, 8 * reg);
      EXPECT_EQ(bytes.rm_byte, 8 * rm);
    }
    const auto to = static_cast<HostRegister>(reg);
    const Insn swapped =
        read(assemble([&](Assembler& a) { a.op_plus({.opcode = 0xc8, .map = 1, .wide = true}, to); }));
    EXPECT_EQ(swapped.reg, reg);
    EXPECT_EQ(swapped.operand_size, 8);
    const Insn tested = read(assemble([&](Assembler& a) { a.test_low(to, 7); }));
    EXPECT_EQ(tested.rm_byte, 8 * reg);
    EXPECT_EQ(tested.immediate, 7u);
    for (const uint64_t value :
         {uint64_t{0}, uint64_t{1}, uint64_t{0x7fff'ffff}, uint64_t{0xffff'ffff}, uint64_t{0x1'0000'0000},
          ~uint64_t{0}, ~uint64_t{0x7fff'ffff}, uint64_t{1} << 63}) {
      const Insn moved = read(assemble([&](Assembler& a) { a.move_immediate(to, value); }));
      const uint64_t got = moved.operand_size == 4 ? static_cast<uint32_t>(moved.immediate) : moved.immediate;
      EXPECT_EQ(got, value);
      EXPECT_EQ(moved.opcode == 0xc7 ? moved.rm : moved.reg, reg);
    }
  }
  EXPECT_TRUE(read(assemble([](Assembler& a) {
                a.op({.opcode = 0xc1, .map = 1, .lock = true}, kHostR9, HostMemory{.base = kHostRbp});
              })).lock);
}

TEST(Assembler, JumpsLeadWhereTheyAreBound) {
  const auto target = [](const std::function<void(Assembler&)>& write) {
    const Code code = assemble(write);
    Insn insn;
    EXPECT_EQ(decode(code.bytes, CodeMode::bits64, 0, insn), DecodeError::none);
    return insn.displacement;
  };
  const auto forward = [&](auto jump) {
    return target([&](Assembler& a) {
      const Assembler::Fixup fixup = jump(a);
      for (int i = 0; i < 40; ++i) a.byte(0x90);
      a.bind(fixup);
    });
  };
  EXPECT_EQ(forward([](Assembler& a) { return a.jump(); }), 5 + 40);
  EXPECT_EQ(forward([](Assembler& a) { return a.jump_short(); }), 2 + 40);
  EXPECT_EQ(forward([](Assembler& a) { return a.jump_if(kHostNotEqual); }), 6 + 40);
  EXPECT_EQ(forward([](Assembler& a) { return a.jump_rcx_zero(); }), 2 + 40);
  EXPECT_EQ(forward([](Assembler& a) { return a.lea_rip(kHostR13); }), 7 + 40);
  const auto backward = [](auto jump) {
    const Code code = assemble([&](Assembler& a) {
      for (int i = 0; i < 10; ++i) a.byte(0x90);
      jump(a);
    });
    Insn insn;
    EXPECT_EQ(decode(std::span(code.bytes).subspan(10), CodeMode::bits64, 0, insn), DecodeError::none);
    return insn.displacement;
  };
  EXPECT_EQ(backward([](Assembler& a) { a.jump_back(3); }), -7);
  EXPECT_EQ(backward([](Assembler& a) { a.jump_rcx_zero_back(3); }), -7);
  EXPECT_EQ(backward([](Assembler& a) { a.call(a.address_of(0)); }), -10);
}

TEST(Assembler, AlignsWhereCodeRuns) {
  alignas(16) std::array<uint8_t, 64> buffer{};
  Assembler assembler(buffer, buffer.data() + 3);
  assembler.align(8);
  EXPECT_EQ(assembler.size(), 5u);
  assembler.align(8);
  EXPECT_EQ(assembler.size(), 5u);
}

TEST(Assembler, Pext) {
#ifdef ALCOVE_HAVE_ZYDIS
  ZydisDecoder decoder;
  ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  for (unsigned to = 0; to < 16; ++to) {
    for (unsigned from = 0; from < 16; ++from) {
      const Code code = assemble([&](Assembler& a) {
        a.pext(static_cast<HostRegister>(to), static_cast<HostRegister>(from), 0x1234);
      });
      ZydisDecodedInstruction instruction;
      ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT] = {};
      ASSERT_TRUE(ZYAN_SUCCESS(
          ZydisDecoderDecodeFull(&decoder, code.bytes.data(), code.size, &instruction, operands)));
      EXPECT_EQ(instruction.mnemonic, ZYDIS_MNEMONIC_PEXT);
      EXPECT_EQ(instruction.length, code.size);
      EXPECT_EQ(operands[0].reg.value, ZYDIS_REGISTER_RAX + static_cast<int>(to));
      EXPECT_EQ(operands[1].reg.value, ZYDIS_REGISTER_RAX + static_cast<int>(from));
      EXPECT_EQ(operands[2].mem.segment, ZYDIS_REGISTER_GS);
      EXPECT_EQ(operands[2].mem.base, ZYDIS_REGISTER_NONE);
      EXPECT_EQ(operands[2].mem.index, ZYDIS_REGISTER_NONE);
      EXPECT_EQ(operands[2].mem.disp.value, 0x1234);
    }
  }
#else
  GTEST_SKIP() << "built without libzydis-dev";
#endif
}

#ifdef ALCOVE_HAVE_ZYDIS
// The other decoder reads the same as ours.
TEST(Assembler, AnotherDecoderAgrees) {
  ZydisDecoder decoder;
  ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  for (unsigned base = 0; base <= kNoHostRegister; ++base) {
    for (unsigned index = 0; index <= kNoHostRegister; ++index) {
      if (index == kHostRsp) continue;
      for (const int32_t displacement : kDisplacements) {
        const Code code = assemble([&](Assembler& a) {
          a.lea(kHostR12, {.base = static_cast<HostRegister>(base),
                           .index = static_cast<HostRegister>(index),
                           .scale = static_cast<uint8_t>(index == kNoHostRegister ? 0 : 3),
                           .displacement = displacement});
        });
        ZydisDecodedInstruction instruction;
        ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT] = {};
        ASSERT_TRUE(ZYAN_SUCCESS(
            ZydisDecoderDecodeFull(&decoder, code.bytes.data(), code.size, &instruction, operands)));
        const auto same = [](ZydisRegister reg, unsigned ours) {
          return ours == kNoHostRegister ? reg == ZYDIS_REGISTER_NONE
                                         : reg == ZYDIS_REGISTER_RAX + static_cast<int>(ours);
        };
        ASSERT_EQ(instruction.length, code.size);
        ASSERT_EQ(operands[0].reg.value, ZYDIS_REGISTER_R12);
        ASSERT_TRUE(same(operands[1].mem.base, base));
        ASSERT_TRUE(same(operands[1].mem.index, index));
        ASSERT_EQ(operands[1].mem.disp.value, displacement);
      }
    }
  }
}
#endif

}  // namespace
}  // namespace alcove::cpu::soft
