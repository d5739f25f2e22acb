#include "cpu/soft/x86/decoder.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

#include "cpu/soft/x86/cpu.h"
#include "cpu/soft/x86/decode_table.h"

namespace alcove::cpu::soft {
namespace {

Handler select_nothing(const Insn&) {
  return execute_invalid_opcode;
}

Row row(const char* encoding, const char* operands, uint32_t flags = 0) {
  return {"test", encoding, operands, select_nothing, flags};
}

struct Decoded {
  DecodeError error;
  Insn insn;
};

Decoded decode_bytes(std::initializer_list<uint8_t> bytes, CodeMode mode = CodeMode::bits64,
                     uint16_t offset = 0) {
  Decoded decoded;
  decoded.error = decode(std::vector<uint8_t>(bytes), mode, offset, decoded.insn);
  return decoded;
}

TEST(Encoding, EveryRowCompiles) {
  for (const auto group : {general_rows(), system_rows(), x87_rows(), sse_rows()}) {
    for (const Row& each : group) {
      const auto compiled = compile(each);
      EXPECT_TRUE(compiled) << each.mnemonic << " " << each.encoding << ": " << compiled.error();
    }
  }
}

TEST(Encoding, RowsDoNotConflict) {
  std::vector<CompiledRow> rows;
  for (const auto group : {general_rows(), system_rows(), x87_rows(), sse_rows()})
    for (const Row& each : group)
      if (auto compiled = compile(each)) rows.push_back(*compiled);
  const auto table = DecodeTable::build(rows);
  EXPECT_TRUE(table) << table.error();
}

TEST(Encoding, MalformedRowsAreRefused) {
  EXPECT_FALSE(compile(row("", "")));
  EXPECT_FALSE(compile(row("0G", "")));
  EXPECT_FALSE(compile(row("00 /8", "")));
  EXPECT_FALSE(compile(row("00", "Eb,Gb")));
  EXPECT_FALSE(compile(row("00 /r", "Eb,Fb")));
  EXPECT_FALSE(compile(row("00 /r mem", "Rv,Gv")));
  EXPECT_FALSE(compile(row("51+r", "Zv")));
  EXPECT_FALSE(compile(row("00 /r", "Ib,Iz")));
}

TEST(Encoding, ConflictingRowsAreRefused) {
  const Row rows[] = {row("0F 10 /r", "Vx,Wx"), row("0F 10 /r", "Vx,Wx"), row("F3 0F 10 /r", "Vx,Wss"),
                      row("0F 10", "")};
  const std::vector<CompiledRow> same = {*compile(rows[0]), *compile(rows[1])};
  EXPECT_FALSE(DecodeTable::build(same));
  const std::vector<CompiledRow> special = {*compile(rows[0]), *compile(rows[2])};
  EXPECT_TRUE(DecodeTable::build(special));
  const std::vector<CompiledRow> modrm = {*compile(rows[0]), *compile(rows[3])};
  EXPECT_FALSE(DecodeTable::build(modrm));
}

TEST(Decoder, RegistersAndSizes) {
  Decoded add = decode_bytes({0x01, 0xd8});  // add eax, ebx
  ASSERT_EQ(add.error, DecodeError::none);
  EXPECT_STREQ(add.insn.row->mnemonic, "add");
  EXPECT_EQ(add.insn.operand_size, 4);
  EXPECT_TRUE(add.insn.is_register);
  EXPECT_EQ(add.insn.reg, rbx);
  EXPECT_EQ(add.insn.rm, rax);
  EXPECT_EQ(add.insn.length, 2);

  add = decode_bytes({0x66, 0x4d, 0x01, 0xd8});  // add r8, r11
  EXPECT_EQ(add.insn.operand_size, 8);
  EXPECT_EQ(add.insn.reg, r11);
  EXPECT_EQ(add.insn.rm, r8);

  add = decode_bytes({0x4d, 0x66, 0x01, 0xd8});  // REX does not count before another prefix.
  EXPECT_EQ(add.insn.operand_size, 2);
  EXPECT_EQ(add.insn.reg, rbx);
  EXPECT_FALSE(add.insn.rex);

  EXPECT_EQ(decode_bytes({0x01, 0xd8}, CodeMode::bits16).insn.operand_size, 2);
  EXPECT_EQ(decode_bytes({0x66, 0x01, 0xd8}, CodeMode::bits16).insn.operand_size, 4);
  EXPECT_EQ(decode_bytes({0x00, 0xd8}).insn.operand_size, 1);
}

TEST(Decoder, ByteRegisters) {
  Decoded add = decode_bytes({0x00, 0xe1});  // add cl, ah
  EXPECT_EQ(add.insn.reg_byte, 1);
  EXPECT_EQ(add.insn.rm_byte, 8);
  add = decode_bytes({0x40, 0x00, 0xe1});  // add cl, spl
  EXPECT_EQ(add.insn.reg_byte, 4 * 8);
}

TEST(Decoder, Addresses) {
  Decoded add = decode_bytes({0x01, 0x44, 0x8b, 0xfc});  // add [rbx + rcx * 4 - 4], eax
  EXPECT_FALSE(add.insn.is_register);
  EXPECT_EQ(add.insn.base, rbx);
  EXPECT_EQ(add.insn.index, rcx);
  EXPECT_EQ(add.insn.scale, 2);
  EXPECT_EQ(add.insn.displacement, -4);
  EXPECT_EQ(add.insn.segment, ds);

  add = decode_bytes({0x01, 0x04, 0x24});  // add [rsp], eax
  EXPECT_EQ(add.insn.base, rsp);
  EXPECT_EQ(add.insn.index, kNoRegister);
  EXPECT_EQ(add.insn.segment, ss);

  add = decode_bytes({0x64, 0x3e, 0x01, 0x04, 0x25, 0x10, 0, 0, 0});  // add fs:[0x10], eax
  EXPECT_EQ(add.insn.base, kNoRegister);
  EXPECT_EQ(add.insn.segment, fs);
  EXPECT_EQ(add.insn.displacement, 0x10);

  // add [rip + 0x10], eax: relative to the block.
  add = decode_bytes({0x01, 0x05, 0x10, 0, 0, 0}, CodeMode::bits64, 100);
  EXPECT_EQ(add.insn.base, kRipRegister);
  EXPECT_EQ(add.insn.displacement, 0x10 + 100 + 6);

  add = decode_bytes({0x01, 0x05, 0x10, 0, 0, 0}, CodeMode::bits32);
  EXPECT_EQ(add.insn.base, kNoRegister);
  EXPECT_EQ(add.insn.displacement, 0x10);

  add = decode_bytes({0x26, 0x01, 0x42, 0x80}, CodeMode::bits16);  // add es:[bp + si - 0x80], ax
  EXPECT_EQ(add.insn.base, rbp);
  EXPECT_EQ(add.insn.index, rsi);
  EXPECT_EQ(add.insn.displacement, -0x80);
  EXPECT_EQ(add.insn.segment, es);
  EXPECT_EQ(add.insn.address_size, 2);
}

TEST(Decoder, Immediates) {
  EXPECT_EQ(decode_bytes({0x83, 0xc0, 0xff}).insn.immediate, ~uint64_t{0});
  EXPECT_EQ(decode_bytes({0x48, 0x05, 0xfe, 0xff, 0xff, 0xff}).insn.immediate, ~uint64_t{1});
  Decoded add = decode_bytes({0x66, 0x05, 0x34, 0x12});
  EXPECT_EQ(add.insn.immediate, 0x1234u);
  EXPECT_EQ(add.insn.length, 4);
}

TEST(Decoder, LockNeedsAMemoryDestination) {
  EXPECT_EQ(decode_bytes({0xf0, 0x01, 0x00}).error, DecodeError::none);
  EXPECT_EQ(decode_bytes({0xf0, 0x01, 0xc0}).error, DecodeError::invalid);  // Register
  EXPECT_EQ(decode_bytes({0xf0, 0x03, 0x00}).error, DecodeError::invalid);  // Memory is the source
  const Decoded cmp = decode_bytes({0xf0, 0x39, 0x00});
  EXPECT_EQ(cmp.error, DecodeError::invalid);
  EXPECT_EQ(cmp.insn.handler, execute_invalid_opcode);
  EXPECT_TRUE(ends_block(cmp.insn));
}

TEST(Decoder, ModesDecideWhatExists) {
  EXPECT_EQ(decode_bytes({0x82, 0xc0, 1}).error, DecodeError::invalid);
  EXPECT_EQ(decode_bytes({0x82, 0xc0, 1}, CodeMode::bits32).error, DecodeError::none);
  EXPECT_STREQ(decode_bytes({0x43}, CodeMode::bits32).insn.row->mnemonic, "inc");
}

TEST(Decoder, AsksForMoreBytes) {
  const std::vector<uint8_t> bytes = {0x66, 0x67, 0x41, 0x81, 0x84, 0x8b, 1, 2, 3, 4, 5, 6};
  Insn insn;
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_EQ(decode(std::span(bytes).first(size), CodeMode::bits64, 0, insn), DecodeError::needs_more_bytes);
  EXPECT_EQ(decode(bytes, CodeMode::bits64, 0, insn), DecodeError::none);
  EXPECT_EQ(insn.length, bytes.size());
}

TEST(Decoder, FifteenBytesAreTheLimit) {
  std::vector<uint8_t> bytes = {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
                                0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x01, 0xc0};
  Insn insn;
  EXPECT_EQ(decode(std::span(bytes).subspan(1), CodeMode::bits64, 0, insn), DecodeError::none);
  EXPECT_EQ(insn.length, 15);
  EXPECT_EQ(decode(bytes, CodeMode::bits64, 0, insn), DecodeError::too_long);
  EXPECT_EQ(insn.handler, execute_general_protection);
  bytes.resize(14);
  EXPECT_EQ(decode(bytes, CodeMode::bits64, 0, insn), DecodeError::needs_more_bytes);
}

}  // namespace
}  // namespace alcove::cpu::soft
