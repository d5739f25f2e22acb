#include "cpu/soft/x86/testing/case_generator.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "cpu/soft/x86/cpu.h"
#include "cpu/soft/x86/decoder.h"
#include "cpu/soft/x86/host_features.h"
#include "cpu/soft/x86/testing/layout.h"

namespace alcove::cpu::soft::testing {
namespace {

constexpr uint64_t kNonCanonical = uint64_t{1} << 47;

bool has_operand(const CompiledRow& row, OperandKind kind) {
  return std::ranges::any_of(row.operands, [kind](const Operand& operand) { return operand.kind == kind; });
}

// The operand's value is where to go on: JMP, CALL and RET.
bool takes_target(const CompiledRow& row) {
  return (row.row->flags & kStops) && !(row.row->flags & kBranch);
}

// BT and its relatives with a bit number that reaches beyond the operand.
bool is_bit_string(const CompiledRow& row) {
  return std::string_view(row.row->mnemonic).starts_with("bt") && row.immediate == ImmediateRule::none;
}

template <class T>
void append(std::vector<uint8_t>& code, T value, size_t size = sizeof(T)) {
  for (size_t i = 0; i < size; ++i)
    code.push_back(static_cast<uint8_t>(static_cast<uint64_t>(value) >> 8 * i));
}

}  // namespace

// Integers near the edges of every size, or anything.
uint64_t CaseGenerator::number() {
  constexpr uint64_t kEdges[] = {0,
                                 1,
                                 2,
                                 0x7f,
                                 0x80,
                                 0xff,
                                 0x7fff,
                                 0x8000,
                                 0xffff,
                                 0x7fffffff,
                                 0x80000000,
                                 0xffffffff,
                                 0x7fffffffffffffff,
                                 0x8000000000000000,
                                 ~uint64_t{0},
                                 9,
                                 0x99};
  switch (below(4)) {
    case 0:
      return kEdges[below(std::size(kEdges))];
    case 1:
      return kEdges[below(std::size(kEdges))] + below(5) - 2;
    case 2:
      return draw() >> below(64);
    default:
      return draw();
  }
}

uint64_t CaseGenerator::floating_point(bool is_double) {
  constexpr double kValues[] = {
      0.0,   1.0,  -1.0,  0.5,          1.5,          2.5,           -2.5,
      3.0,   1e10, -1e10, 4294967296.0, 2147483647.0, -2147483648.0, 9.2233720368547758e18,
      1e-30, 0.1};
  double value = kValues[below(std::size(kValues))];
  if (chance(50))
    value *= static_cast<double>(static_cast<int64_t>(draw())) / static_cast<double>(uint64_t{1} << 62);
  uint64_t bits;
  if (is_double) {
    constexpr uint64_t kEdges[] = {0x8000000000000000,
                                   0x7ff0000000000000,
                                   0xfff0000000000000,
                                   0x7ff8000000000000,
                                   0x7ff0000000000001,
                                   0xfff8000000001234,
                                   1,
                                   0x000fffffffffffff,
                                   0x0010000000000000,
                                   0x7fefffffffffffff};
    if (chance(30)) return kEdges[below(std::size(kEdges))];
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
  }
  constexpr uint32_t kEdges[] = {0x80000000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001,
                                 0xffc01234, 1,          0x007fffff, 0x00800000, 0x7f7fffff};
  const auto single = static_cast<float>(value);
  uint32_t low;
  std::memcpy(&low, &single, sizeof low);
  if (chance(30)) low = kEdges[below(std::size(kEdges))];
  return low;
}

// Mostly inside the data pages; sometimes over the end of a page, on the read-only page or nowhere.
void CaseGenerator::draw_memory_address(Case& drawn) {
  const uint64_t kind = below(100);
  const uint64_t near = below(40);
  if (kind < 70)
    drawn.address = kData + (below(kDataSize - 128) & ~(chance(60) ? uint64_t{15} : 0)) + 64;
  else if (kind < 80)
    drawn.address = kData + kPage - near;
  else if (kind < 90)
    drawn.address = kData + kDataSize - near;
  else if (kind < 95)
    drawn.address = kReadOnly + below(64) * 16;
  else if (kind < 98)
    drawn.address = kData - near;
  else
    drawn.address = is_64bit() ? kNonCanonical + below(256) * 16 : kReadOnly + kPage;
}

// Now and then with a register where none is meant, which is no instruction.
void CaseGenerator::draw_vex(const CompiledRow& row, std::vector<uint8_t>& code) {
  const Pattern& pattern = row.pattern;
  constexpr uint8_t kPrefixes[] = {0, 1, 2, 3, 0};
  static_assert(static_cast<int>(Prefix::f3) == 2 && static_cast<int>(Prefix::f2) == 3);
  const bool l = pattern.vex_l >= 0 ? pattern.vex_l : chance(50);
  const bool w = pattern.vex_w >= 0 ? pattern.vex_w : chance(50);
  const auto vvvv = static_cast<uint8_t>(row.uses_vvvv || chance(2) ? below(16) : 15);
  const auto last = static_cast<uint8_t>(vvvv << 3 | l << 2 | kPrefixes[static_cast<size_t>(pattern.prefix)]);
  const uint8_t extensions = is_64bit() ? static_cast<uint8_t>(below(8)) : 7;
  if (pattern.map == OpcodeMap::vex_0f && !w && chance(50)) {
    code.push_back(0xc5);
    code.push_back(static_cast<uint8_t>((is_64bit() ? draw() & 0x80 : 0x80) | last));
    if (!is_64bit()) code.back() |= 0x40;
    return;
  }
  code.push_back(0xc4);
  code.push_back(static_cast<uint8_t>(
      extensions << 5 | (static_cast<unsigned>(pattern.map) - static_cast<unsigned>(OpcodeMap::vex_0f) + 1)));
  code.push_back(static_cast<uint8_t>(w << 7 | last));
}

void CaseGenerator::draw_code(const CompiledRow& row, Case& drawn) {
  const Pattern& pattern = row.pattern;
  std::vector<uint8_t>& code = drawn.code;
  const bool memory = pattern.modrm && !row.ignores_mod && pattern.form != Form::reg &&
                      (pattern.form == Form::memory || chance(55));
  const bool vex = is_vex(pattern.map);
  if (!vex && (pattern.prefix == Prefix::operand_size ||
               (pattern.prefix != Prefix::none && !(row.row->flags & kForce64) && chance(20))))
    code.push_back(0x66);
  // In 32-bit mode 16-bit addresses reach no memory.
  const bool address_prefix = memory && mode_ != CodeMode::bits32 && chance(is_64bit() ? 5 : 50);
  if (address_prefix) code.push_back(0x67);
  const bool short_address = mode_ == CodeMode::bits16 && !address_prefix;
  if (!vex && (pattern.prefix == Prefix::f3 || pattern.prefix == Prefix::f2))
    code.push_back(pattern.prefix == Prefix::f3 ? 0xf3 : 0xf2);
  if ((row.row->flags & kRep) && chance(60)) code.push_back(chance(50) ? 0xf3 : 0xf2);
  if (memory && (row.row->flags & kLock) && chance(20)) code.push_back(0xf0);
  if (vex)
    draw_vex(row, code);
  else if (is_64bit() && chance(60))
    code.push_back(static_cast<uint8_t>(0x40 | below(16)));
  if (!vex && pattern.map != OpcodeMap::one_byte) code.push_back(0x0f);
  if (pattern.map == OpcodeMap::three_byte_38) code.push_back(0x38);
  if (pattern.map == OpcodeMap::three_byte_3a) code.push_back(0x3a);
  code.push_back(static_cast<uint8_t>(pattern.opcode + below(pattern.opcode_count)));
  if (pattern.modrm) {
    const auto reg = static_cast<uint8_t>(pattern.digit >= 0 ? pattern.digit : below(8));
    auto rm = static_cast<uint8_t>(pattern.rm >= 0 ? pattern.rm : below(8));
    if (has_operand(row, OperandKind::modrm_vector)) rm = 4;
    uint8_t mod = memory ? static_cast<uint8_t>(below(3)) : 3;
    if (row.ignores_mod) mod = 3;
    code.push_back(static_cast<uint8_t>(mod << 6 | reg << 3 | rm));
    if (mod != 3 && short_address) {
      append(code, draw(), mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0);
    } else if (mod != 3) {
      uint8_t base = rm;
      if (rm == 4) {
        code.push_back(static_cast<uint8_t>(draw()));
        base = code.back() & 7;
      }
      if (mod == 1)
        append(code, draw(), 1);
      else if (mod == 2 || (mod == 0 && base == 5))
        append(code, draw(), 4);
    }
  }
  // Immediates: enough for any; the decoder says how many count.
  if (has_operand(row, OperandKind::relative))
    append(code, static_cast<int64_t>(below(80)) + (chance(50) ? 20 : -110));  // Not to itself.
  else if (row.immediate == ImmediateRule::moffs)
    append(code, offset(drawn.address), is_64bit() ? 8 : short_address ? 2 : 4);
  else
    append(code, number());
}

void CaseGenerator::draw_fpu(const CompiledRow& row, Case& drawn) {
  FxArea& fx = drawn.before.fx;
  const bool uses_x87 = row.row->flags & (kX87 | kMmx);
  fx.set<uint16_t>(FxArea::kControl, static_cast<uint16_t>(0x37f));
  fx.set<uint32_t>(FxArea::kMxcsr, 0x1f80);
  if (uses_x87) {
    // Precision and rounding control; now and then an unmasked exception.
    constexpr uint16_t kPrecisions[] = {0, 2, 3};
    uint16_t control = static_cast<uint16_t>(0x7f | kPrecisions[below(3)] << 8 | below(4) << 10);
    if (chance(10)) control = static_cast<uint16_t>(control & ~(1u << below(6)));
    fx.set<uint16_t>(FxArea::kControl, control);
    uint16_t status = static_cast<uint16_t>((draw() & 0x4700) | below(8) << 11);
    if (chance(30)) status = static_cast<uint16_t>(status | (draw() & 0x7f));
    if (status & ~control & 0x3f) status |= 0x8080;  // A pending exception: error summary and busy.
    fx.set<uint16_t>(FxArea::kStatus, status);
    fx.set<uint8_t>(FxArea::kTag, static_cast<uint8_t>(chance(50) ? 0xff : draw()));
    for (unsigned i = 0; i < 8; ++i) {
      uint16_t exponent = static_cast<uint16_t>(0x3fff + below(80) - 40 + (chance(50) ? 0x8000 : 0));
      uint64_t significand = draw() | uint64_t{1} << 63;
      if (chance(25)) {
        constexpr uint16_t kExponents[] = {0, 1, 0x7ffe, 0x7fff, 0x8000, 0xffff, 0x3fff, 0xbfff};
        exponent = kExponents[below(std::size(kExponents))];
        constexpr uint64_t kSignificands[] = {0, uint64_t{1} << 63, uint64_t{3} << 62, 1, ~uint64_t{0}};
        significand = kSignificands[below(std::size(kSignificands))];
      } else if (chance(40)) {
        significand &= ~uint64_t{0} << (40 + below(24));  // A number with few bits.
      }
      fx.set<uint64_t>(FxArea::st(i), significand);
      fx.set<uint16_t>(FxArea::st(i) + 8, exponent);
    }
  }
  if (row.row->flags & (kSse | kAvx)) {
    uint32_t mxcsr = 0x1f80 | static_cast<uint32_t>(below(4) << 13 | (draw() & 0x3f));
    if (chance(15)) mxcsr |= 1 << 15;  // Flush to zero
    if (chance(15)) mxcsr |= 1 << 6;   // Denormals are zeros
    if (chance(10)) mxcsr &= ~(0x80u << below(6));
    fx.set<uint32_t>(FxArea::kMxcsr, mxcsr);
  }
  const uint64_t kind = below(3);
  const auto value = [&] {
    return kind == 0   ? number()
           : kind == 1 ? floating_point(true)
                       : floating_point(false) | floating_point(false) << 32;
  };
  for (unsigned i = 0; i < 32; ++i) fx.set<uint64_t>(FxArea::kXmm + 8 * i, value());
  if (host_runs_avx() && chance(80))
    for (auto& half : drawn.before.upper) half = {value(), value()};
  for (size_t i = 0; i < drawn.bytes.size(); i += 8) {
    const uint64_t word = value();
    std::memcpy(&drawn.bytes[i], &word, sizeof word);
  }
}

void CaseGenerator::draw_state(const CompiledRow& row, Case& drawn) {
  CpuState& state = drawn.before;
  state.rip = offset(kStart);
  state.flags = static_cast<uint32_t>(2 | kIf | (draw() & (kArithmeticFlags | kDf)));
  state.code_size = static_cast<uint8_t>(mode_);
  for (uint64_t& value : state.gpr) value = is_64bit() ? number() : static_cast<uint32_t>(number());
  state.gpr[rsp] = kStack + kPage / 2 + below(64);
  draw_fpu(row, drawn);
}

// Lets registers and bytes lead to drawn.address, and limits what must not be anything.
void CaseGenerator::place_operands(const CompiledRow& row, Case& drawn) {
  CpuState& state = drawn.before;
  const Insn& insn = drawn.insn;
  const std::string_view name = row.row->mnemonic;

  // Most bits of MXCSR are reserved, and bit 17 is only on AMD's processors.
  const size_t mxcsr = name.ends_with("ldmxcsr") ? 0 : FxArea::kMxcsr;
  if (name.ends_with("ldmxcsr") || name.starts_with("fxrstor")) {
    drawn.bytes[mxcsr + 2] &= 0xfd;
    if (chance(70)) drawn.bytes[mxcsr + 2] = drawn.bytes[mxcsr + 3] = 0;
  }
  if (name == "xlatb") state.gpr[rbx] = offset(drawn.address);
  if (name.starts_with("maskmov") || name == "vmaskmovdqu") state.gpr[rdi] = offset(drawn.address);
  if (name == "enter" || name == "leave")
    state.gpr[rbp] = chance(80) ? kStack + kPage / 2 + below(256) : drawn.address;
  if (has_operand(row, OperandKind::string_source)) state.gpr[rsi] = offset(drawn.address);
  if (has_operand(row, OperandKind::string_target))
    state.gpr[rdi] =
        offset(has_operand(row, OperandKind::string_source) ? kData + below(kDataSize) : drawn.address);
  // They may overlap. Which of two addresses CMPS looks at first differs.
  if (name == "movs" && chance(30)) state.gpr[rdi] = state.gpr[rsi] + below(80) - 40;
  if (row.row->flags & kRep) state.gpr[rcx] = chance(80) ? below(20) : below(2500);
  if (name.starts_with("loop") && chance(50)) state.gpr[rcx] = below(3);

  if (has_operand(row, OperandKind::modrm_vector)) {
    // Near the base.
    const bool dwords = name.find("gatherd") != name.npos;
    const auto indices = [&] { return below(64) | (dwords ? below(64) << 32 : 0); };
    for (size_t i = 0; i < 2; ++i) {
      state.fx.set<uint64_t>(FxArea::xmm(insn.rm) + 8 * i, indices());
      if (host_runs_avx()) state.upper[insn.rm][i] = indices();
    }
  }
  const bool memory = row.pattern.modrm && !insn.is_register;
  if (memory && is_bit_string(row))
    state.gpr[insn.reg] = (below(8192) - 4096) & (is_64bit() ? ~uint64_t{0} : 0xffffffff);
  if (memory && insn.base < 16) {
    const uint64_t index = insn.index < 16 ? state.gpr[insn.index] << insn.scale : 0;
    const uint64_t address = insn.segment == ss ? drawn.address : offset(drawn.address);
    state.gpr[insn.base] = address - index - static_cast<uint64_t>(insn.displacement);
    if (insn.address_size != 8) {
      state.gpr[insn.base] &= 0xffffffff;
      if (is_64bit()) state.gpr[insn.base] |= draw() << 32;
    }
  }
  if (takes_target(row)) {
    const uint64_t target = offset(kCode + below(kStart - kCode));
    std::memcpy(drawn.bytes.data(), &target, sizeof target);
    if (insn.is_register)
      state.gpr[insn.rm] = target;
    else if (!row.pattern.modrm)
      drawn.address = state.gpr[rsp];
  }
  // A single step would end the test elsewhere; the others stay set for the test itself.
  if (name.starts_with("popf")) {
    const auto flags = static_cast<uint32_t>(draw() & ~uint64_t{kTf | kNt | kAc | kId});
    std::memcpy(drawn.bytes.data(), &flags, sizeof flags);
    drawn.address = state.gpr[rsp];
  }
}

std::optional<Case> CaseGenerator::generate(const CompiledRow& row) {
  Case drawn;
  draw_memory_address(drawn);
  // Intel's processors demand that of SHA's operands, AMD's do not.
  if (std::string_view(row.row->mnemonic).starts_with("sha") && row.row->flags & kSse)
    drawn.address &= ~uint64_t{15};
  draw_code(row, drawn);
  if (decode(drawn.code, mode_, 0, drawn.insn) != DecodeError::none || drawn.insn.row != row.row)
    return std::nullopt;
  drawn.code.resize(drawn.insn.length);

  Insn& insn = drawn.insn;
  const bool memory = row.pattern.modrm && !insn.is_register;
  // One register as base and index has no solution in general; absolute and index-only addresses must be put
  // into the code.
  if (memory && insn.base < 16 && insn.base == insn.index) return std::nullopt;
  // Nor has one as base and bit number,.
  if (memory && is_bit_string(row) && (insn.base == insn.reg || insn.index == insn.reg)) return std::nullopt;

  draw_state(row, drawn);
  if (memory && insn.base >= 16) {
    uint64_t displacement = offset(drawn.address);
    if (insn.index < 16) {
      drawn.before.gpr[insn.index] = below(256);
      displacement -= drawn.before.gpr[insn.index] << insn.scale;
    }
    if (insn.base == kRipRegister) displacement -= kStart + insn.length;
    if (is_64bit() && static_cast<uint64_t>(static_cast<int32_t>(displacement)) != displacement)
      return std::nullopt;
    // The displacement is behind ModRM and SIB.
    const bool short_address = insn.address_size == 2;
    size_t position = insn.base == kRipRegister || short_address || (insn.modrm & 7) == 5 ? 1 : 2;
    const auto modrm = std::ranges::find_end(drawn.code, std::array{insn.opcode, insn.modrm});
    if (modrm.empty()) return std::nullopt;
    position += static_cast<size_t>(modrm.begin() - drawn.code.begin()) + 1;
    for (size_t i = 0; i < (short_address ? 2 : 4); ++i)
      drawn.code[position + i] = static_cast<uint8_t>(displacement >> 8 * i);
    const uint64_t expected = displacement + (insn.base == kRipRegister ? insn.length : 0);
    const uint64_t mask = short_address ? 0xffff : ~uint64_t{0};
    if (decode(drawn.code, mode_, 0, insn) != DecodeError::none || insn.length != drawn.code.size() ||
        (static_cast<uint64_t>(insn.displacement) & mask) != expected)
      return std::nullopt;
  }
  place_operands(row, drawn);
  return drawn;
}

}  // namespace alcove::cpu::soft::testing
