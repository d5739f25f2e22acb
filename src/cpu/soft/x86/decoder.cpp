#include "cpu/soft/x86/decoder.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "cpu/soft/x86/cpu.h"
#include "cpu/soft/x86/decode_table.h"

namespace alcove::cpu::soft {
namespace {

enum class PrefixByte : uint8_t { none, segment, operand_size, address_size, lock, f3, f2, rex };

constexpr auto kPrefixBytes = [] {
  std::array<PrefixByte, 256> table{};
  for (const int byte : {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65}) table[byte] = PrefixByte::segment;
  for (int byte = 0x40; byte < 0x50; ++byte) table[byte] = PrefixByte::rex;  // In 64-bit mode.
  table[0x66] = PrefixByte::operand_size;
  table[0x67] = PrefixByte::address_size;
  table[0xf0] = PrefixByte::lock;
  table[0xf3] = PrefixByte::f3;
  table[0xf2] = PrefixByte::f2;
  return table;
}();

// Base and index by ModRM.rm with 16-bit addresses (Intel SDM vol. 2, table 2-1).
struct Address16 {
  uint8_t base;
  uint8_t index;
};
constexpr Address16 kAddress16[8] = {{rbx, rsi},         {rbx, rdi},         {rbp, rsi},
                                     {rbp, rdi},         {rsi, kNoRegister}, {rdi, kNoRegister},
                                     {rbp, kNoRegister}, {rbx, kNoRegister}};

constexpr uint8_t byte_register(unsigned number, bool rex) {
  return static_cast<uint8_t>(rex || number < 4 || number > 7 ? number * 8 : (number - 4) * 8 + 1);
}

// Reads little-endian fields; remembers when the bytes ran out.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  uint8_t byte() {
    if (position_ >= bytes_.size()) [[unlikely]] {
      exhausted_ = true;
      return 0;
    }
    return bytes_[position_++];
  }
  template <class T>
  T read() {
    T value{};
    if (position_ + sizeof value > bytes_.size()) [[unlikely]] {
      exhausted_ = true;
      position_ = bytes_.size();
      return value;
    }
    std::memcpy(&value, bytes_.data() + position_, sizeof value);
    position_ += sizeof value;
    return value;
  }
  // Sign-extended, of 1, 2, 4 or 8 bytes.
  uint64_t read_signed(unsigned size) {
    switch (size) {
      case 1:
        return static_cast<uint64_t>(int64_t{read<int8_t>()});
      case 2:
        return static_cast<uint64_t>(int64_t{read<int16_t>()});
      case 4:
        return static_cast<uint64_t>(int64_t{read<int32_t>()});
      default:
        return read<uint64_t>();
    }
  }
  bool exhausted() const { return exhausted_; }
  size_t position() const { return position_; }
  void back() { --position_; }

 private:
  std::span<const uint8_t> bytes_;
  size_t position_ = 0;
  bool exhausted_ = false;
};

struct Prefixes {
  Prefix mandatory = Prefix::none;
  uint8_t rex = 0;
  bool address_size = false;
  int8_t segment = -1;
  VexBits vex;
  bool vvvv_named = false;  // VEX.vvvv is not the value that stands for no register.
};

uint8_t operand_size(const DecodeTable::Entry& entry, CodeMode mode, const Insn& insn, bool rex_w) {
  if (entry.size == SizeRule::byte) return 1;
  if (entry.size == SizeRule::rex) return rex_w ? 8 : 4;
  uint8_t size = 0;
  if (mode == CodeMode::bits64) {
    if (rex_w || (entry.flags & kForce64))
      size = 8;
    else if (insn.operand_prefix)
      size = 2;
    else
      size = entry.flags & kDefault64 ? 8 : 4;
  } else {
    size = (mode == CodeMode::bits16) != insn.operand_prefix ? 2 : 4;
  }
  return entry.size == SizeRule::at_most_4 ? std::min<uint8_t>(size, 4) : size;
}

void decode_address16(Reader& reader, Insn& insn) {
  const unsigned mod = insn.modrm >> 6;
  const unsigned rm = insn.modrm & 7;
  if (mod == 0 && rm == 6) {
    insn.displacement = reader.read<int16_t>();
    return;
  }
  insn.base = kAddress16[rm].base;
  insn.index = kAddress16[rm].index;
  if (mod == 1)
    insn.displacement = reader.read<int8_t>();
  else if (mod == 2)
    insn.displacement = reader.read<int16_t>();
}

// 32- and 64-bit addresses (Intel SDM vol. 2, tables 2-2 and 2-3). If the index is a vector, `rm` is its
// number.
void decode_address(Reader& reader, CodeMode mode, uint8_t rex, bool vector_index, Insn& insn) {
  const unsigned mod = insn.modrm >> 6;
  unsigned base = insn.modrm & 7;
  if (base == 4) {
    const uint8_t sib = reader.byte();
    const unsigned index = (sib >> 3 & 7) | (rex & 2 ? 8 : 0);
    if (vector_index) {
      insn.rm = static_cast<uint8_t>(index);
      insn.scale = sib >> 6;
    } else if (index != 4) {
      insn.index = static_cast<uint8_t>(index);
      insn.scale = sib >> 6;
    }
    base = sib & 7;
  } else if (mod == 0 && base == 5 && mode == CodeMode::bits64) {
    insn.base = kRipRegister;
    insn.displacement = reader.read<int32_t>();
    return;
  }
  if (mod == 0 && base == 5) {
    insn.displacement = reader.read<int32_t>();
    return;
  }
  insn.base = static_cast<uint8_t>(base | (rex & 1 ? 8 : 0));
  if (mod == 1)
    insn.displacement = reader.read<int8_t>();
  else if (mod == 2)
    insn.displacement = reader.read<int32_t>();
}

void decode_immediate(Reader& reader, ImmediateRule rule, Insn& insn) {
  switch (rule) {
    case ImmediateRule::none:
      break;
    case ImmediateRule::byte:
      insn.immediate = reader.byte();
      break;
    case ImmediateRule::signed_byte:
      insn.immediate = reader.read_signed(1);
      break;
    case ImmediateRule::word:
      insn.immediate = reader.read<uint16_t>();
      break;
    case ImmediateRule::z:
      insn.immediate = reader.read_signed(insn.operand_size == 2 ? 2 : 4);
      break;
    case ImmediateRule::v:
      insn.immediate = reader.read_signed(insn.operand_size);
      break;
    case ImmediateRule::word_and_byte:
      insn.immediate = reader.read<uint16_t>();
      insn.selector = reader.byte();
      break;
    case ImmediateRule::two_bytes:
      insn.immediate = reader.byte();
      insn.selector = reader.byte();
      break;
    case ImmediateRule::far_pointer:
      insn.immediate = insn.operand_size == 2 ? reader.read<uint16_t>() : reader.read<uint32_t>();
      insn.selector = reader.read<uint16_t>();
      break;
    case ImmediateRule::moffs:
      insn.displacement = static_cast<int64_t>(insn.address_size == 8   ? reader.read<uint64_t>()
                                               : insn.address_size == 4 ? reader.read<uint32_t>()
                                                                        : reader.read<uint16_t>());
      break;
  }
}

// Returns the first byte that is not a prefix.
uint8_t decode_prefixes(Reader& reader, CodeMode mode, Prefixes& prefixes, Insn& insn) {
  while (true) {
    const uint8_t byte = reader.byte();
    switch (kPrefixBytes[byte]) {
      case PrefixByte::none:
        return byte;
      case PrefixByte::rex:
        if (mode != CodeMode::bits64) return byte;
        prefixes.rex = byte;
        continue;
      case PrefixByte::segment:
        if (byte >= 0x64)
          prefixes.segment = static_cast<int8_t>(byte - 0x64 + fs);
        else if (mode != CodeMode::bits64)
          prefixes.segment = static_cast<int8_t>(byte >> 3 & 3);
        break;
      case PrefixByte::operand_size:
        insn.operand_prefix = true;
        break;
      case PrefixByte::address_size:
        prefixes.address_size = true;
        break;
      case PrefixByte::lock:
        insn.lock = true;
        break;
      case PrefixByte::f3:
      case PrefixByte::f2:
        insn.rep = byte == 0xf3;
        insn.repne = byte == 0xf2;
        break;
    }
    prefixes.rex = 0;  // Counts only right before the opcode.
  }
}

bool is_vex_prefix(uint8_t opcode, CodeMode mode, Reader& reader) {
  if (opcode != 0xc4 && opcode != 0xc5) return false;
  if (mode == CodeMode::bits64) return true;
  // Elsewhere these are LES and LDS, which have no register form.
  const uint8_t next = reader.byte();
  if (reader.exhausted()) return false;
  reader.back();
  return next >= 0xc0;
}

// The rest of a VEX prefix and the opcode (Intel SDM vol. 2, 2.3.5); false if there is no such prefix.
bool decode_vex(Reader& reader, CodeMode mode, bool is_long, Prefixes& prefixes, OpcodeMap& map, Insn& insn) {
  if (insn.lock || insn.rep || insn.repne || insn.operand_prefix || prefixes.rex) return false;
  const uint8_t first = reader.byte();
  uint8_t last = first;
  unsigned extensions = ~first >> 5 & 4;
  unsigned map_number = 1;
  if (is_long) {
    extensions = ~first >> 5 & 7;
    map_number = first & 31;
    last = reader.byte();
    prefixes.vex.w = last & 0x80;
  }
  if (map_number == 0 || map_number > 3) return false;
  map = static_cast<OpcodeMap>(static_cast<unsigned>(OpcodeMap::vex_0f) + map_number - 1);
  prefixes.vex.l = last & 4;
  constexpr Prefix kMandatory[] = {Prefix::none, Prefix::operand_size, Prefix::f3, Prefix::f2};
  prefixes.mandatory = kMandatory[last & 3];
  insn.vvvv = ~last >> 3 & 15;
  prefixes.vvvv_named = insn.vvvv != 0;
  insn.vector_size = prefixes.vex.l ? 32 : 16;
  insn.wide = prefixes.vex.w;
  if (mode == CodeMode::bits64)
    prefixes.rex = static_cast<uint8_t>(0x40 | prefixes.vex.w << 3 | extensions);
  else
    insn.vvvv &= 7;
  insn.opcode = reader.byte();
  return true;
}

DecodeError decode_whole(Reader& reader, CodeMode mode, uint16_t offset, Insn& insn) {
  const DecodeTable& table = DecodeTable::instance();
  Prefixes prefixes;
  uint8_t opcode = decode_prefixes(reader, mode, prefixes, insn);
  OpcodeMap map = OpcodeMap::one_byte;
  const bool vex = is_vex_prefix(opcode, mode, reader);
  if (vex) {
    if (!decode_vex(reader, mode, opcode == 0xc4, prefixes, map, insn)) return DecodeError::invalid;
    opcode = insn.opcode;
  } else if (opcode == 0x0f) {
    opcode = reader.byte();
    map = OpcodeMap::two_byte;
    if (opcode == 0x38 || opcode == 0x3a) {
      map = opcode == 0x38 ? OpcodeMap::three_byte_38 : OpcodeMap::three_byte_3a;
      opcode = reader.byte();
    }
  }
  const uint8_t rex = prefixes.rex;
  insn.rex = rex != 0;
  insn.opcode = opcode;
  if (!vex)
    prefixes.mandatory = insn.rep              ? Prefix::f3
                         : insn.repne          ? Prefix::f2
                         : insn.operand_prefix ? Prefix::operand_size
                                               : Prefix::none;

  const DecodeTable::Slot& slot = table.slot(mode == CodeMode::bits64, map, opcode);
  if (slot.first == 0) return DecodeError::invalid;
  if (slot.modrm) insn.modrm = reader.byte();
  if (reader.exhausted()) return DecodeError::needs_more_bytes;
  const DecodeTable::Entry* entry = table.find(slot, prefixes.mandatory, insn.modrm, prefixes.vex);
  if (!entry) return DecodeError::invalid;
  if (prefixes.vvvv_named && !entry->uses_vvvv) return DecodeError::invalid;
  insn.row = entry->row;
  insn.operand_size = operand_size(*entry, mode, insn, rex & 8);
  if (mode == CodeMode::bits64)
    insn.address_size = prefixes.address_size ? 4 : 8;
  else
    insn.address_size = (mode == CodeMode::bits16) != prefixes.address_size ? 2 : 4;

  if (slot.modrm) {
    insn.reg = static_cast<uint8_t>((insn.modrm >> 3 & 7) | (rex & 4 ? 8 : 0));
    insn.is_register = insn.modrm >= 0xc0 || entry->ignores_mod;
    if (insn.is_register)
      insn.rm = static_cast<uint8_t>((insn.modrm & 7) | (rex & 1 ? 8 : 0));
    else if (entry->vector_index && (insn.address_size == 2 || (insn.modrm & 7) != 4))
      return DecodeError::invalid;
    else if (insn.address_size == 2)
      decode_address16(reader, insn);
    else
      decode_address(reader, mode, rex, entry->vector_index, insn);
  } else if (entry->opcode_register) {
    insn.reg = static_cast<uint8_t>((opcode & 7) | (rex & 1 ? 8 : 0));
  }
  insn.reg_byte = byte_register(insn.reg, insn.rex);
  insn.rm_byte = byte_register(insn.rm, insn.rex);
  if (prefixes.segment >= 0)
    insn.segment = static_cast<uint8_t>(prefixes.segment);
  else
    insn.segment = insn.base == rbp || insn.base == rsp ? ss : ds;
  if (!slot.modrm && (entry->flags & (kDefault64 | kForce64)))  // PUSH, POP, CALL, RET…
    insn.segment = ss;
  decode_immediate(reader, entry->immediate, insn);
  if (reader.exhausted()) return DecodeError::needs_more_bytes;
  insn.length = static_cast<uint8_t>(reader.position());
  insn.offset = offset;
  if (insn.base == kRipRegister) insn.displacement += offset + insn.length;
  if (entry->flags & kBranch) insn.displacement = static_cast<int64_t>(insn.immediate) + offset + insn.length;
  if (insn.lock && (insn.is_register || !slot.modrm || !(entry->flags & kLock))) [[unlikely]]
    return DecodeError::invalid;
  insn.handler = entry->row->select(insn);
  return insn.handler ? DecodeError::none : DecodeError::invalid;
}

}  // namespace

DecodeError decode(std::span<const uint8_t> bytes, CodeMode mode, uint16_t offset, Insn& out) {
  out = Insn();
  Reader reader(bytes.first(std::min(bytes.size(), kMaximumInsnLength)));
  DecodeError error = decode_whole(reader, mode, offset, out);
  if (error == DecodeError::none) [[likely]]
    return error;
  if (reader.exhausted()) {
    if (bytes.size() < kMaximumInsnLength) return DecodeError::needs_more_bytes;
    error = DecodeError::too_long;
  }
  const Insn read = std::exchange(out, Insn());
  out.row = &invalid_row();
  out.handler = error == DecodeError::too_long ? execute_general_protection : execute_invalid_opcode;
  out.offset = offset;
  out.opcode = read.opcode;
  out.modrm = read.modrm;
  out.length = static_cast<uint8_t>(reader.position());
  return error;
}

void execute_invalid_opcode(Cpu& cpu, const Insn&) {
  raise(cpu, kInvalidOpcode);
}
void execute_general_protection(Cpu& cpu, const Insn&) {
  raise(cpu, kGeneralProtection, 0);
}

const Row& invalid_row() {
  static const Row row{.mnemonic = "(invalid)",
                       .encoding = "",
                       .operands = "",
                       .select = [](const Insn&) -> Handler { return execute_invalid_opcode; },
                       .flags = kEndsBlock | kStops | kNoTest};
  return row;
}

}  // namespace alcove::cpu::soft
