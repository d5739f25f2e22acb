#include "cpu/soft/testing/sequence_generator.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "cpu/soft/x86/cpu.h"
#include "cpu/soft/x86/decoder.h"

namespace alcove::cpu::soft::testing {
namespace {

using namespace sequence;

bool is_used(const CompiledRow& row) {
  const Row& r = *row.row;
  const std::string_view name = r.mnemonic;
  if (r.flags & (kNo64 | kPrivileged | kStops)) return false;
  if (name.starts_with("pushf")) return true;
  if (r.flags & kNoTest) return false;
  return !(r.flags & kEndsBlock) || name.starts_with("loop") || name == "jcxz";
}

bool has_operand(const CompiledRow& row, OperandKind kind) {
  return std::ranges::any_of(row.operands, [kind](const Operand& operand) { return operand.kind == kind; });
}

bool is_bit_string(const CompiledRow& row) {
  return std::string_view(row.row->mnemonic).starts_with("bt") && row.immediate == ImmediateRule::none;
}

uint64_t upper_half(uint64_t address) {
  return kUpper + address;
}

}  // namespace

SequenceGenerator::SequenceGenerator(uint64_t seed) : random_(seed) {
  for (const CompiledRow& row : compiled_rows()) {
    if (!is_used(row)) continue;
    // Those that are translated, and those that programs are made of, more often.
    const uint32_t flags = row.row->flags;
    const unsigned weight = flags & (kX87 | kMmx) ? 1 : flags & kAvx ? 2 : flags & kSse ? 3 : 12;
    rows_.insert(rows_.end(), weight, &row);
  }
}

uint64_t SequenceGenerator::number() {
  constexpr uint64_t kEdges[] = {0,
                                 1,
                                 0x7f,
                                 0x80,
                                 0xff,
                                 0x7fff,
                                 0x8000,
                                 0xffff,
                                 0x7fffffff,
                                 0x80000000,
                                 0xffffffff,
                                 ~uint64_t{0} >> 1,
                                 uint64_t{1} << 63,
                                 ~uint64_t{0}};
  switch (below(4)) {
    case 0:
      return kEdges[below(std::size(kEdges))] + below(3) - 1;
    case 1:
      return draw() >> below(64);
    case 2:
      return below(64);
    default:
      return draw();
  }
}

uint64_t SequenceGenerator::operand_address() {
  const uint64_t kind = below(100), near = below(24);
  const uint64_t data = kData + 64 + below(kDataEnd - kData - 128);
  if (kind < 55) return data & ~uint64_t{15};
  if (kind < 72) return data;
  if (kind < 80) return kData + kPage - near;  // Perhaps across pages.
  if (kind < 83) return kDataEnd - near;       // Perhaps into nothing.
  if (kind < 86) return kReadOnly + below(kPage - 16);
  if (kind < 89) return kSupervisor + below(kPage - 16);
  if (kind < 92) return kStack + below(kStackEnd - kStack - 16);
  if (kind < 97) return upper_half(data);
  if (kind < 98) return kCode + (start_ - kCode + kPage + below(kPage - 16)) % (kCodeEnd - kCode);
  return data + (draw() << 47);
}

uint64_t SequenceGenerator::vector_half() {
  constexpr double kValues[] = {0.0, 1.0, -1.5, 2.5, 1e10, -1e-30, 4294967296.0, 0.1};
  const double value = kValues[below(std::size(kValues))];
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (chance(30)) {
    const auto single = static_cast<float>(value);
    uint32_t half;
    std::memcpy(&half, &single, sizeof half);
    bits = half | uint64_t{half} << 32;
  }
  return chance(50) ? bits : number();
}

void SequenceGenerator::set_register(unsigned reg, uint64_t value) {
  const uint8_t extension = reg >> 3 & 1;
  if (value <= 0xffff'ffff) {
    if (extension) byte(0x41);
    byte(0xb8 | (reg & 7));
    append(value, 4);
  } else {
    byte(0x48 | extension);
    byte(0xb8 | (reg & 7));
    append(value, 8);
  }
}

// What lets instructions with operands of their own succeed more often.
void SequenceGenerator::prepare(const CompiledRow& row) {
  const std::string_view name = row.row->mnemonic;
  if (row.row->flags & kRep) {
    set_register(rsi, operand_address());
    set_register(rdi, operand_address());
    set_register(rcx, chance(80) ? below(20) : below(2500));
    if (chance(80)) byte(0xfc);  // CLD
  }
  if (name == "xlatb") set_register(rbx, operand_address());
  if (name.starts_with("maskmov")) set_register(rdi, operand_address());
  if (name == "leave" || name == "enter") set_register(rbp, kStack + kPage + below(256) * 8);
  if ((name == "div" || name == "idiv") && chance(85)) set_register(rdx, below(2));
  if (name.starts_with("loop")) set_register(rcx, below(4));
}

void SequenceGenerator::vex_prefix(const CompiledRow& row, uint8_t extensions, uint8_t vvvv) {
  const Pattern& pattern = row.pattern;
  constexpr uint8_t kPrefixes[] = {0, 1, 2, 3, 0};
  const uint64_t l = pattern.vex_l >= 0 ? static_cast<uint64_t>(pattern.vex_l) : below(2);
  const uint64_t w = pattern.vex_w >= 0 ? static_cast<uint64_t>(pattern.vex_w) : below(2);
  if (!row.uses_vvvv) vvvv = 0;
  const uint64_t map = static_cast<uint64_t>(pattern.map) - static_cast<uint64_t>(OpcodeMap::vex_0f) + 1;
  const uint64_t last = (~uint64_t{vvvv} & 15) << 3 | l << 2 | kPrefixes[static_cast<size_t>(pattern.prefix)];
  byte(0xc4);
  byte((~uint64_t{extensions} & 7) << 5 | map);
  byte(w << 7 | last);
}

bool SequenceGenerator::try_instruction(const CompiledRow& row) {
  const Pattern& pattern = row.pattern;
  const size_t begin = code_.size();
  const bool memory = pattern.modrm && !row.ignores_mod && pattern.form != Form::reg &&
                      (pattern.form == Form::memory || chance(50));
  // Prefixes and REX first, as the registers that need values depend on them.
  std::vector<uint8_t> prefixes;
  if (chance(3) && !is_vex(pattern.map))
    prefixes.push_back(static_cast<uint8_t>(0x40 | below(16)));  // Has no effect but its length.
  if (chance(2)) prefixes.push_back(0x3e);
  const bool vex = is_vex(pattern.map);
  if (!vex && (pattern.prefix == Prefix::operand_size || (pattern.prefix != Prefix::none && chance(15))))
    prefixes.push_back(0x66);
  const bool short_address = memory && chance(4);
  if (short_address) prefixes.push_back(0x67);
  if (!vex && pattern.prefix == Prefix::f3) prefixes.push_back(0xf3);
  if (!vex && pattern.prefix == Prefix::f2) prefixes.push_back(0xf2);
  if ((row.row->flags & kRep) && chance(60)) prefixes.push_back(chance(50) ? 0xf3 : 0xf2);
  if (memory && (row.row->flags & kLock) && chance(20)) prefixes.push_back(0xf0);
  const bool based = memory && chance(8);
  if (based) prefixes.push_back(chance(50) ? 0x64 : 0x65);
  const auto rex = static_cast<uint8_t>(chance(65) ? 0x40 | below(16) : 0);

  const auto reg = static_cast<uint8_t>(pattern.digit >= 0 ? pattern.digit : below(8));
  auto rm = static_cast<uint8_t>(pattern.rm >= 0 ? pattern.rm : below(8));
  if (has_operand(row, OperandKind::modrm_vector)) rm = 4;
  const auto vvvv = static_cast<uint8_t>(below(16));
  uint8_t sib = static_cast<uint8_t>(draw());
  const auto mod = static_cast<uint8_t>(!memory ? 3 : below(3));
  // Whoever changes the stack pointer ends the program soon.
  const bool touches_stack = (pattern.digit < 0 && pattern.modrm && reg == 4 && !(rex & 4)) ||
                             (pattern.modrm && !memory && rm == 4 && !(rex & 1)) ||
                             (has_operand(row, OperandKind::vvvv) && vvvv == rsp);
  if (touches_stack && chance(85)) return false;

  const unsigned full_reg = reg | (rex & 4 ? 8u : 0u);
  const bool rip_relative = memory && mod == 0 && rm == 5;
  const uint64_t address = operand_address();
  uint64_t displacement = mod == 1 ? below(256) : chance(70) ? below(512) - 256 : draw();
  const auto signed_displacement =
      static_cast<uint64_t>(mod == 1 ? static_cast<int64_t>(static_cast<int8_t>(displacement))
                                     : static_cast<int64_t>(static_cast<int32_t>(displacement)));
  if (memory && !rip_relative) {
    const bool has_sib = rm == 4;
    const unsigned base = (has_sib ? sib & 7u : rm) | (rex & 1 ? 8u : 0u);
    const bool has_base = !(has_sib && (sib & 7) == 5 && mod == 0);
    const unsigned index = (sib >> 3 & 7u) | (rex & 2 ? 8u : 0u);
    const bool has_index = has_sib && index != 4 && !has_operand(row, OperandKind::modrm_vector);
    uint64_t rest = address - (mod == 0 && has_base ? 0 : signed_displacement);
    if (based && chance(90)) rest -= kData;  // Where the segments often begin.
    if (has_index && has_base && index == base) return false;
    const bool bit_string = is_bit_string(row);
    if (bit_string && (full_reg == base || full_reg == index)) return false;
    if (bit_string && full_reg != rsp) set_register(full_reg, below(4096));
    const bool prepared = chance(90);
    if (has_index && index != rsp && prepared) {
      const uint64_t value = below(64);
      set_register(index, value);
      rest -= value << (sib >> 6);
    }
    if (has_base && base != rsp && prepared) {
      set_register(base, short_address ? (rest & 0xffff'ffff) | draw() << 32 : rest);
    } else if (!has_base && prepared) {
      displacement = rest + signed_displacement;
    }
  }
  if (code_.size() == begin) prepare(row);

  const size_t first = code_.size();
  code_.insert(code_.end(), prefixes.begin(), prefixes.end());
  if (vex) {
    vex_prefix(row, rex, vvvv);
  } else {
    if (rex) byte(rex);
    if (pattern.map != OpcodeMap::one_byte) byte(0x0f);
  }
  if (pattern.map == OpcodeMap::three_byte_38) byte(0x38);
  if (pattern.map == OpcodeMap::three_byte_3a) byte(0x3a);
  byte(pattern.opcode + below(pattern.opcode_count));
  size_t displacement_at = 0;
  if (pattern.modrm) {
    byte(mod << 6 | reg << 3 | rm);
    if (mod != 3) {
      if (rm == 4) byte(sib);
      displacement_at = code_.size();
      if (mod == 1)
        byte(displacement);
      else if (mod == 2 || rm == 5 || (rm == 4 && (sib & 7) == 5))
        append(displacement, 4);
    }
  }
  const bool relative = row.row->flags & kBranch;
  append(relative ? 0 : number(), 8);
  Insn insn;
  const auto decode_it = [&] {
    return decode(std::span(code_).subspan(first), CodeMode::bits64, 0, insn) == DecodeError::none &&
           insn.row == row.row;
  };
  if (!decode_it()) {
    code_.resize(begin);
    return false;
  }
  if (rip_relative) {
    const uint64_t wanted = address - (start_ + first + insn.length);
    for (size_t i = 0; i < 4; ++i) code_[displacement_at + i] = static_cast<uint8_t>(wanted >> 8 * i);
  }
  code_.resize(first + insn.length);
  if (relative) fixups_.push_back({code_.size(), true, static_cast<unsigned>(below(units_ + 1))});
  return true;
}

void SequenceGenerator::instruction(const CompiledRow& row) {
  for (int attempt = 0; attempt < 8; ++attempt)
    if (try_instruction(row)) return;
}

// A displacement to be bound to a label: mostly of what follows.
void SequenceGenerator::label(bool is_short) {
  const unsigned here = static_cast<unsigned>(labels_.size());
  const unsigned number = chance(80)
                              ? here + static_cast<unsigned>(below(is_short ? 2 : units_ + 1 - here + 1))
                              : static_cast<unsigned>(below(units_ + 1));
  append(0, is_short ? 1 : 4);
  fixups_.push_back({code_.size(), is_short, std::min(number, units_)});
}

void SequenceGenerator::jump_if() {
  const bool is_short = chance(60);
  if (is_short) {
    byte(0x70 | below(16));
  } else {
    byte(0x0f);
    byte(0x80 | below(16));
  }
  label(is_short);
}

void SequenceGenerator::jump_or_call(uint8_t opcode) {
  byte(opcode);
  label(opcode == 0xeb);
}

// LEA of a label, and a jump there in one of several ways.
void SequenceGenerator::indirect() {
  unsigned reg;
  do {
    reg = static_cast<unsigned>(below(16));
  } while (reg == rsp);
  const uint8_t extension = reg >> 3 & 1;
  byte(0x48 | extension << 2);
  byte(0x8d);
  byte((reg & 7) << 3 | 5);
  label(false);
  const auto in_memory = [&](uint8_t digit) {  // [reg in data] through an absolute address.
    const uint64_t address = operand_address() & 0xffff'ffff;
    byte(0x48 | extension << 2);
    byte(0x89);
    byte((reg & 7) << 3 | 4);
    byte(0x25);
    append(address, 4);
    byte(0xff);
    byte(digit << 3 | 4);
    byte(0x25);
    append(address, 4);
  };
  switch (below(5)) {
    case 0:
    case 1:
      if (extension) byte(0x41);
      byte(0xff);
      byte(0xc0 | (chance(50) ? 4 : 2) << 3 | (reg & 7));
      break;
    case 2:
      if (extension) byte(0x41);
      byte(0x50 | (reg & 7));
      byte(0xc3);
      break;
    default:
      in_memory(chance(50) ? 4 : 2);
  }
}

// MOV into the bytes of some instruction, or of the filler.
void SequenceGenerator::store_into_code() {
  const uint64_t target = kCode + (chance(70) ? start_ - kCode + below(200) : below(kCodeEnd - kCode));
  byte(0xc6);
  byte(0x04);
  byte(0x25);
  append(std::min(target, kCodeEnd - 1), 4);
  byte(chance(50) ? 0x90 : draw());
  // The new code may read flags that the old one would have replaced first, so keep them alive: PUSHFQ.
  byte(0x9c);
}

void SequenceGenerator::unit() {
  const uint64_t kind = below(100);
  if (kind < 72) {
    instruction(*rows_[below(rows_.size())]);
  } else if (kind < 82) {
    jump_if();
  } else if (kind < 86) {
    jump_or_call(chance(50) ? 0xeb : 0xe9);
  } else if (kind < 90) {
    jump_or_call(0xe8);
  } else if (kind < 94) {
    byte(0xc3);
  } else if (kind < 98) {
    indirect();
  } else {
    store_into_code();
  }
}

Program SequenceGenerator::generate() {
  Program program;
  code_.clear();
  labels_.clear();
  fixups_.clear();
  units_ = static_cast<unsigned>(2 + below(19));
  // Some cross into the next page.
  start_ = chance(30) ? kCode + kPage - below(150) : kCode + below(kPage - 600);
  while (labels_.size() < units_) {
    labels_.push_back(code_.size());
    unit();
  }
  labels_.push_back(code_.size());
  byte(kFiller);
  for (const Fixup& fixup : fixups_) {
    const auto distance = static_cast<int64_t>(labels_[fixup.label]) - static_cast<int64_t>(fixup.at);
    if (fixup.is_short) {
      if (distance == static_cast<int8_t>(distance)) code_[fixup.at - 1] = static_cast<uint8_t>(distance);
    } else {
      const auto word = static_cast<int32_t>(distance);
      std::memcpy(&code_[fixup.at - 4], &word, sizeof word);
    }
  }
  program.start = start_;
  program.code = code_;
  for (uint64_t& value : program.gpr) value = chance(60) ? operand_address() : number();
  program.gpr[rsp] = kStack + kPage / 2 + below(kPage / 8) * 8 + (chance(5) ? below(8) : 0);
  for (uint64_t& value : program.vectors) value = vector_half();
  program.flags = static_cast<uint32_t>(2 | (draw() & kArithmeticFlags) | (chance(10) ? kDf : 0));
  program.mxcsr = 0x1f80 | static_cast<uint32_t>(below(4) << 13);
  if (chance(5)) program.mxcsr &= ~(0x80u << below(6));
  program.cpl = chance(50) ? 3 : 0;
  program.fs_base = chance(80) ? kData : draw();
  program.gs_base = chance(80) ? kData : kUpper + kData;
  return program;
}

}  // namespace alcove::cpu::soft::testing
