// Writes host instructions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace alcove::cpu::soft {

// By their numbers in encodings.
enum HostRegister : uint8_t {
  kHostRax,
  kHostRcx,
  kHostRdx,
  kHostRbx,
  kHostRsp,
  kHostRbp,
  kHostRsi,
  kHostRdi,
  kHostR8,
  kHostR9,
  kHostR10,
  kHostR11,
  kHostR12,
  kHostR13,
  kHostR14,
  kHostR15,
  kNoHostRegister,
};

// [base + index << scale + displacement], or gs:[index << scale + displacement].
struct HostMemory {
  HostRegister base = kNoHostRegister;
  HostRegister index = kNoHostRegister;
  uint8_t scale = 0;
  int32_t displacement = 0;
  bool gs = false;
};

inline HostMemory gs_memory(int32_t displacement) {
  return {.displacement = displacement, .gs = true};
}

// What an instruction is apart from its operands.
struct HostOpcode {
  uint8_t opcode = 0;
  uint8_t map = 0;            // 0: one byte, 1: 0F, 2: 0F 38, 3: 0F 3A
  bool wide = false;          // REX.W
  bool operand_size = false;  // 66
  uint8_t mandatory = 0;      // F2, F3
  bool lock = false;
  bool vex = false;             // Operand size and mandatory prefix are in a VEX prefix.
  bool l = false;               // VEX.L
  uint8_t vvvv = 0;             // A register, if the opcode has a further one.
  bool byte_registers = false;  // Registers 4 to 7 mean SPL to DIL, so there is a REX prefix.
};

enum HostCondition : uint8_t { kHostAboveEqual = 3, kHostEqual = 4, kHostNotEqual = 5, kHostBelowEqual = 6 };

class Assembler {
 public:
  // Code is written at `buffer` and will run at `address`.
  Assembler(std::span<uint8_t> buffer, const uint8_t* address)
      : begin_(buffer.data()), at_(buffer.data()), end_(buffer.data() + buffer.size()), address_(address) {}

  size_t size() const { return static_cast<size_t>(at_ - begin_); }
  size_t room() const { return static_cast<size_t>(end_ - at_); }
  const uint8_t* address() const { return address_ + size(); }
  const uint8_t* address_of(size_t offset) const { return address_ + offset; }

  void byte(uint8_t value) { *at_++ = value; }
  void word32(uint32_t value);
  void word64(uint64_t value);
  void bytes(std::span<const uint8_t> data);
  void align(size_t alignment);

  // `reg` is ModRM.reg: a register, or the opcode's digit. `immediate_size` bytes follow (of RIP-relative
  // operands nothing here makes use).
  void op(const HostOpcode& opcode, unsigned reg, HostRegister rm);
  void op(const HostOpcode& opcode, unsigned reg, const HostMemory& rm);
  // Registers in the opcode's low bits (MOV r, imm; BSWAP…).
  void op_plus(const HostOpcode& opcode, HostRegister reg);
  // No operands but perhaps an immediate that the caller writes.
  void op_plain(const HostOpcode& opcode);

  void load(HostRegister to, const HostMemory& from) { op({.opcode = 0x8b, .wide = true}, to, from); }
  void load32(HostRegister to, const HostMemory& from) { op({.opcode = 0x8b}, to, from); }
  void store(const HostMemory& to, HostRegister from) { op({.opcode = 0x89, .wide = true}, from, to); }
  void move(HostRegister to, HostRegister from) {
    if (to != from) op({.opcode = 0x8b, .wide = true}, to, from);
  }
  void move_immediate(HostRegister to, uint64_t value);
  void lea(HostRegister to, const HostMemory& from, bool wide = true) {
    op({.opcode = 0x8d, .wide = wide}, to, from);
  }
  // to = the bits of `from` that the mask at gs:[displacement] has, brought together. Changes no flags.
  void pext(HostRegister to, HostRegister from, int32_t mask);
  void pext(HostRegister to, HostRegister from, HostRegister mask);
  // The reverse: to = the low bits of `from` spread to where the mask has bits.
  void pdep(HostRegister to, HostRegister from, int32_t mask);
  // Shifts that change no flags.
  void sarx(HostRegister to, HostRegister from, HostRegister count);
  void rorx(HostRegister to, HostRegister from, uint8_t count);
  void test_low(HostRegister reg, uint8_t bits);

  // Jumps. The versions with offsets go to places in this buffer; `fixup`s are resolved by bind().
  void jump(const uint8_t* target);
  void call(const uint8_t* target);
  struct Fixup {
    size_t at = 0;  // Behind the displacement.
    bool is_short = false;
  };
  Fixup jump();
  Fixup call();
  Fixup jump_short();
  Fixup jump_if(uint8_t condition);
  Fixup jump_rcx_zero();
  void jump_rcx_zero_back(size_t target);  // At most 126 bytes away.
  void jump_back(size_t target);
  void bind(Fixup fixup) { bind(fixup, size()); }
  void bind(Fixup fixup, size_t target);
  void jump_memory(const HostMemory& target) { op({.opcode = 0xff}, 4, target); }
  void call_memory(const HostMemory& target) { op({.opcode = 0xff}, 2, target); }
  void return_near() { byte(0xc3); }
  void push(HostRegister reg) { op_plus({.opcode = 0x50}, reg); }
  void pop(HostRegister reg) { op_plus({.opcode = 0x58}, reg); }
  // lea to, [rip + target]; the target is bound later.
  Fixup lea_rip(HostRegister to);

 private:
  void prefixes(const HostOpcode& opcode, bool gs);
  void vex_and_opcode(const HostOpcode& opcode, unsigned reg, unsigned index, unsigned base);
  void gather_or_scatter(uint8_t prefix, HostRegister to, HostRegister from, int32_t mask);
  void rex_and_opcode(const HostOpcode& opcode, unsigned reg, unsigned index, unsigned base, bool needs_rex);

  uint8_t* begin_;
  uint8_t* at_;
  uint8_t* end_;
  const uint8_t* address_;
};

}  // namespace alcove::cpu::soft
