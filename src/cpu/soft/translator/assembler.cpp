#include "cpu/soft/translator/assembler.h"

#include <cstring>

namespace alcove::cpu::soft {
namespace {

constexpr uint8_t kGsPrefix = 0x65;

uint8_t modrm(unsigned mod, unsigned reg, unsigned rm) {
  return static_cast<uint8_t>(mod << 6 | (reg & 7) << 3 | (rm & 7));
}

}  // namespace

void Assembler::word32(uint32_t value) {
  std::memcpy(at_, &value, sizeof value);
  at_ += sizeof value;
}

void Assembler::word64(uint64_t value) {
  std::memcpy(at_, &value, sizeof value);
  at_ += sizeof value;
}

void Assembler::bytes(std::span<const uint8_t> data) {
  std::memcpy(at_, data.data(), data.size());
  at_ += data.size();
}

void Assembler::align(size_t alignment) {
  while (reinterpret_cast<uintptr_t>(address()) % alignment != 0) byte(0xcc);
}

void Assembler::prefixes(const HostOpcode& opcode, bool gs) {
  if (gs) byte(kGsPrefix);
  if (opcode.vex) return;
  if (opcode.lock) byte(0xf0);
  if (opcode.operand_size) byte(0x66);
  if (opcode.mandatory) byte(opcode.mandatory);
}

// Intel SDM vol. 2, 2.3.5.
void Assembler::vex_and_opcode(const HostOpcode& opcode, unsigned reg, unsigned index, unsigned base) {
  const unsigned mandatory = opcode.operand_size        ? 1
                             : opcode.mandatory == 0xf3 ? 2
                             : opcode.mandatory == 0xf2 ? 3
                                                        : 0;
  const unsigned last = (~unsigned{opcode.vvvv} & 15) << 3 | opcode.l << 2 | mandatory;
  const unsigned r = reg & 8 ? 0 : 0x80;
  if (opcode.map == 1 && !opcode.wide && !(index & 8) && !(base & 8)) {
    byte(0xc5);
    byte(static_cast<uint8_t>(r | last));
  } else {
    byte(0xc4);
    byte(static_cast<uint8_t>(r | (index & 8 ? 0 : 0x40) | (base & 8 ? 0 : 0x20) | opcode.map));
    byte(static_cast<uint8_t>(opcode.wide << 7 | last));
  }
  byte(opcode.opcode);
}

void Assembler::rex_and_opcode(const HostOpcode& opcode, unsigned reg, unsigned index, unsigned base,
                               bool needs_rex) {
  if (opcode.vex) return vex_and_opcode(opcode, reg, index, base);
  const unsigned rex = opcode.wide << 3 | (reg >> 3 & 1) << 2 | (index >> 3 & 1) << 1 | (base >> 3 & 1);
  if (rex || needs_rex) byte(static_cast<uint8_t>(0x40 | rex));
  if (opcode.map != 0) byte(0x0f);
  if (opcode.map == 2) byte(0x38);
  if (opcode.map == 3) byte(0x3a);
  byte(opcode.opcode);
}

void Assembler::op(const HostOpcode& opcode, unsigned reg, HostRegister rm) {
  prefixes(opcode, false);
  rex_and_opcode(opcode, reg, 0, rm, opcode.byte_registers);
  byte(modrm(3, reg, rm));
}

void Assembler::op(const HostOpcode& opcode, unsigned reg, const HostMemory& rm) {
  const bool has_index = rm.index != kNoHostRegister;
  const bool has_base = rm.base != kNoHostRegister;
  prefixes(opcode, rm.gs);
  rex_and_opcode(opcode, reg, has_index ? rm.index : 0, has_base ? rm.base : 0, opcode.byte_registers);
  if (!has_base) {
    byte(modrm(0, reg, 4));
    byte(static_cast<uint8_t>(rm.scale << 6 | (has_index ? rm.index & 7 : 4) << 3 | 5));
    word32(static_cast<uint32_t>(rm.displacement));
    return;
  }
  // RBP and R13 as bases need a displacement, RSP and R12 a SIB byte (Intel SDM vol. 2, table 2-2).
  const unsigned mod = rm.displacement == 0 && (rm.base & 7) != 5                ? 0
                       : rm.displacement == static_cast<int8_t>(rm.displacement) ? 1
                                                                                 : 2;
  if (has_index || (rm.base & 7) == 4) {
    byte(modrm(mod, reg, 4));
    byte(static_cast<uint8_t>(rm.scale << 6 | (has_index ? rm.index & 7 : 4) << 3 | (rm.base & 7)));
  } else {
    byte(modrm(mod, reg, rm.base));
  }
  if (mod == 1) byte(static_cast<uint8_t>(rm.displacement));
  if (mod == 2) word32(static_cast<uint32_t>(rm.displacement));
}

void Assembler::op_plus(const HostOpcode& opcode, HostRegister reg) {
  prefixes(opcode, false);
  HostOpcode plus = opcode;
  plus.opcode = static_cast<uint8_t>(opcode.opcode | (reg & 7));
  rex_and_opcode(plus, 0, 0, reg, opcode.byte_registers);
}

void Assembler::op_plain(const HostOpcode& opcode) {
  prefixes(opcode, false);
  rex_and_opcode(opcode, 0, 0, 0, false);
}

void Assembler::move_immediate(HostRegister to, uint64_t value) {
  if (value == static_cast<uint32_t>(value)) {
    op_plus({.opcode = 0xb8}, to);
    word32(static_cast<uint32_t>(value));
  } else if (value == static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(value)))) {
    op({.opcode = 0xc7, .wide = true}, 0, to);
    word32(static_cast<uint32_t>(value));
  } else {
    op_plus({.opcode = 0xb8, .wide = true}, to);
    word64(value);
  }
}

// VEX prefixes (Intel SDM vol. 2, 2.3.5) of 64-bit operations; `prefix`: 2 for F3, 3 for F2.
void Assembler::gather_or_scatter(uint8_t prefix, HostRegister to, HostRegister from, int32_t mask) {
  byte(kGsPrefix);
  byte(0xc4);
  byte(static_cast<uint8_t>((to & 8 ? 0 : 0x80) | 0x60 | 2));
  byte(static_cast<uint8_t>(0x80 | (~from & 15) << 3 | prefix));
  byte(0xf5);
  byte(modrm(0, to, 4));
  byte(0x25);
  word32(static_cast<uint32_t>(mask));
}

void Assembler::pext(HostRegister to, HostRegister from, int32_t mask) {
  gather_or_scatter(2, to, from, mask);
}

void Assembler::pext(HostRegister to, HostRegister from, HostRegister mask) {
  op({.opcode = 0xf5, .map = 2, .wide = true, .mandatory = 0xf3, .vex = true, .vvvv = from}, to, mask);
}

void Assembler::pdep(HostRegister to, HostRegister from, int32_t mask) {
  gather_or_scatter(3, to, from, mask);
}

void Assembler::sarx(HostRegister to, HostRegister from, HostRegister count) {
  byte(0xc4);
  byte(static_cast<uint8_t>((to & 8 ? 0 : 0x80) | 0x40 | (from & 8 ? 0 : 0x20) | 2));
  byte(static_cast<uint8_t>(0x80 | (~count & 15) << 3 | 2));
  byte(0xf7);
  byte(modrm(3, to, from));
}

void Assembler::rorx(HostRegister to, HostRegister from, uint8_t count) {
  byte(0xc4);
  byte(static_cast<uint8_t>((to & 8 ? 0 : 0x80) | 0x40 | (from & 8 ? 0 : 0x20) | 3));
  byte(0xfb);
  byte(0xf0);
  byte(modrm(3, to, from));
  byte(count);
}

void Assembler::test_low(HostRegister reg, uint8_t bits) {
  op({.opcode = 0xf6, .byte_registers = true}, 0, reg);
  byte(bits);
}

void Assembler::jump(const uint8_t* target) {
  byte(0xe9);
  word32(static_cast<uint32_t>(target - (address() + 4)));
}

void Assembler::call(const uint8_t* target) {
  byte(0xe8);
  word32(static_cast<uint32_t>(target - (address() + 4)));
}

Assembler::Fixup Assembler::jump() {
  byte(0xe9);
  word32(0);
  return {size(), false};
}

Assembler::Fixup Assembler::call() {
  byte(0xe8);
  word32(0);
  return {size(), false};
}

Assembler::Fixup Assembler::jump_short() {
  byte(0xeb);
  byte(0);
  return {size(), true};
}

Assembler::Fixup Assembler::jump_if(uint8_t condition) {
  byte(0x0f);
  byte(static_cast<uint8_t>(0x80 | condition));
  word32(0);
  return {size(), false};
}

Assembler::Fixup Assembler::jump_rcx_zero() {
  byte(0xe3);
  byte(0);
  return {size(), true};
}

void Assembler::jump_rcx_zero_back(size_t target) {
  byte(0xe3);
  byte(static_cast<uint8_t>(target - (size() + 1)));
}

void Assembler::jump_back(size_t target) {
  jump(address_of(target));
}

void Assembler::bind(Fixup fixup, size_t target) {
  const auto distance = static_cast<int32_t>(static_cast<int64_t>(target) - static_cast<int64_t>(fixup.at));
  if (fixup.is_short)
    begin_[fixup.at - 1] = static_cast<uint8_t>(distance);
  else
    std::memcpy(begin_ + fixup.at - 4, &distance, sizeof distance);
}

Assembler::Fixup Assembler::lea_rip(HostRegister to) {
  rex_and_opcode({.opcode = 0x8d, .wide = true}, to, 0, 0, false);
  byte(modrm(0, to, 5));
  word32(0);
  return {size(), false};
}

}  // namespace alcove::cpu::soft
