#include "cpu/soft/x86/encoding.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace alcove::cpu::soft {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    std::string_view part = text.substr(0, end);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    if (!part.empty()) parts.push_back(part);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

bool parse_hex_byte(std::string_view text, uint8_t& value) {
  if (text.size() != 2) return false;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), value, 16);
  return error == std::errc() && end == text.end();
}

// "VEX.128.66.0F38.W0", of which length and W may be missing.
bool parse_vex(std::string_view text, Pattern& pattern) {
  if (!text.starts_with("VEX.")) return false;
  pattern.prefix = Prefix::none;
  pattern.map = OpcodeMap::one_byte;
  for (const std::string_view part : split(text.substr(4), '.')) {
    if (part == "128" || part == "256")
      pattern.vex_l = part == "256";
    else if (part == "66")
      pattern.prefix = Prefix::operand_size;
    else if (part == "F3")
      pattern.prefix = Prefix::f3;
    else if (part == "F2")
      pattern.prefix = Prefix::f2;
    else if (part == "0F")
      pattern.map = OpcodeMap::vex_0f;
    else if (part == "0F38")
      pattern.map = OpcodeMap::vex_0f38;
    else if (part == "0F3A")
      pattern.map = OpcodeMap::vex_0f3a;
    else if (part == "W0" || part == "W1")
      pattern.vex_w = part == "W1";
    else
      return false;
  }
  return is_vex(pattern.map);
}

std::expected<Pattern, std::string> parse_pattern(std::string_view encoding) {
  Pattern pattern;
  std::vector<std::string_view> tokens = split(encoding, ' ');
  size_t next = 0;
  const auto take = [&](std::string_view token) {
    if (next >= tokens.size() || tokens[next] != token) return false;
    ++next;
    return true;
  };

  if (take("NP"))
    pattern.prefix = Prefix::none;
  else if (take("66"))
    pattern.prefix = Prefix::operand_size;
  else if (tokens.size() > 1 && take("F3"))
    pattern.prefix = Prefix::f3;
  else if (tokens.size() > 1 && take("F2"))
    pattern.prefix = Prefix::f2;

  if (!tokens.empty() && parse_vex(tokens[0], pattern)) {
    ++next;
  } else if (tokens.size() > next + 1 && take("0F")) {
    pattern.map = OpcodeMap::two_byte;
    if (tokens.size() > next + 1 && take("38"))
      pattern.map = OpcodeMap::three_byte_38;
    else if (tokens.size() > next + 1 && take("3A"))
      pattern.map = OpcodeMap::three_byte_3a;
  }

  if (next == tokens.size()) return std::unexpected("no opcode");
  std::string_view opcode = tokens[next++];
  if (opcode.ends_with("+r")) {
    pattern.opcode_count = 8;
    opcode.remove_suffix(2);
  } else if (opcode.ends_with("+cc")) {
    pattern.opcode_count = 16;
    opcode.remove_suffix(3);
  }
  if (!parse_hex_byte(opcode, pattern.opcode)) return std::unexpected(fmt::format("bad opcode '{}'", opcode));
  if (pattern.opcode % pattern.opcode_count != 0) return std::unexpected("opcode range is not aligned");

  for (; next < tokens.size(); ++next) {
    const std::string_view token = tokens[next];
    uint8_t byte = 0;
    if (token == "/r") {
      pattern.modrm = true;
    } else if (token.size() == 2 && token[0] == '/' && token[1] >= '0' && token[1] <= '7') {
      pattern.modrm = true;
      pattern.digit = static_cast<int8_t>(token[1] - '0');
    } else if (token == "mem") {
      pattern.form = Form::memory;
    } else if (token == "reg") {
      pattern.form = Form::reg;
    } else if (!pattern.modrm && parse_hex_byte(token, byte) && byte >= 0xc0) {
      pattern.modrm = true;
      pattern.form = Form::reg;
      pattern.digit = static_cast<int8_t>(byte >> 3 & 7);
      pattern.rm = static_cast<int8_t>(byte & 7);
    } else {
      return std::unexpected(fmt::format("unknown token '{}'", token));
    }
  }
  return pattern;
}

struct FixedOperand {
  std::string_view name;
  Operand operand;
};

const FixedOperand kFixedOperands[] = {
    {"AL", {OperandKind::fixed, "b", 0}},         {"CL", {OperandKind::fixed, "b", 1}},
    {"DL", {OperandKind::fixed, "b", 2}},         {"BL", {OperandKind::fixed, "b", 3}},
    {"AH", {OperandKind::fixed, "h", 4}},         {"AX", {OperandKind::fixed, "w", 0}},
    {"CX", {OperandKind::fixed, "w", 1}},         {"DX", {OperandKind::fixed, "w", 2}},
    {"eAX", {OperandKind::fixed, "z", 0}},        {"rAX", {OperandKind::fixed, "v", 0}},
    {"EAX", {OperandKind::fixed, "d", 0}},        {"ECX", {OperandKind::fixed, "d", 1}},
    {"EDX", {OperandKind::fixed, "d", 2}},        {"ES", {OperandKind::fixed_segment, "w", 0}},
    {"CS", {OperandKind::fixed_segment, "w", 1}}, {"SS", {OperandKind::fixed_segment, "w", 2}},
    {"DS", {OperandKind::fixed_segment, "w", 3}}, {"FS", {OperandKind::fixed_segment, "w", 4}},
    {"GS", {OperandKind::fixed_segment, "w", 5}}, {"XMM0", {OperandKind::fixed_xmm, "x", 0}},
    {"ST", {OperandKind::x87_top, "t", 0}},       {"ST(0)", {OperandKind::x87_top, "t", 0}},
    {"ST(i)", {OperandKind::x87_rm, "t", 0}},     {"1", {OperandKind::one, "", 0}},
};

struct OperandLetter {
  char letter;
  OperandKind kind;
};

constexpr OperandLetter kOperandLetters[] = {
    {'G', OperandKind::modrm_reg},
    {'E', OperandKind::modrm_rm},
    {'M', OperandKind::memory},
    {'R', OperandKind::modrm_rm_reg},
    {'Z', OperandKind::opcode_register},
    {'I', OperandKind::immediate},
    {'J', OperandKind::relative},
    {'A', OperandKind::far_pointer},
    {'O', OperandKind::moffs},
    {'S', OperandKind::segment},
    {'C', OperandKind::control},
    {'D', OperandKind::debug},
    {'V', OperandKind::xmm_reg},
    {'W', OperandKind::xmm_rm},
    {'U', OperandKind::xmm_rm_reg},
    {'P', OperandKind::mmx_reg},
    {'Q', OperandKind::mmx_rm},
    {'N', OperandKind::mmx_rm_reg},
    {'X', OperandKind::string_source},
    {'Y', OperandKind::string_target},
    {'H', OperandKind::xmm_vvvv},
    {'L', OperandKind::xmm_immediate},
    {'B', OperandKind::vvvv},
    {'K', OperandKind::modrm_vector},
};

// SDM vol. 2, appendix A.2.2, "t" for ten bytes, "m" for memory of a size of its own; a half, a fourth and an
// eighth of "x".
constexpr std::string_view kSizes[] = {"",   "b",  "w",  "d", "q",  "v",  "y",  "z",  "p",
                                       "a",  "s",  "t",  "x", "dq", "qq", "pd", "ps", "sd",
                                       "ss", "si", "pi", "m", "o",  "xh", "xf", "xe"};

std::expected<Operand, std::string> parse_operand(std::string_view text) {
  for (const FixedOperand& fixed : kFixedOperands)
    if (fixed.name == text) return fixed.operand;
  if (text == "sIb") return Operand{OperandKind::signed_byte, "b", 0};
  for (const OperandLetter& entry : kOperandLetters) {
    if (entry.letter != text[0]) continue;
    const std::string_view size = text.substr(1);
    if (std::ranges::find(kSizes, size) == std::end(kSizes)) break;
    return Operand{entry.kind, std::string(size), 0};
  }
  return std::unexpected(fmt::format("unknown operand '{}'", text));
}

bool uses_modrm(OperandKind kind) {
  switch (kind) {
    case OperandKind::modrm_reg:
    case OperandKind::modrm_rm:
    case OperandKind::memory:
    case OperandKind::modrm_rm_reg:
    case OperandKind::segment:
    case OperandKind::control:
    case OperandKind::debug:
    case OperandKind::xmm_reg:
    case OperandKind::xmm_rm:
    case OperandKind::xmm_rm_reg:
    case OperandKind::modrm_vector:
    case OperandKind::mmx_reg:
    case OperandKind::mmx_rm:
    case OperandKind::mmx_rm_reg:
    case OperandKind::x87_rm:
      return true;
    default:
      return false;
  }
}

// Operands that a general operation reads or writes, whose size is the operation's.
bool has_data_size(const Operand& operand) {
  switch (operand.kind) {
    case OperandKind::modrm_reg:
    case OperandKind::modrm_rm:
    case OperandKind::memory:
    case OperandKind::modrm_rm_reg:
    case OperandKind::opcode_register:
    case OperandKind::moffs:
    case OperandKind::string_source:
    case OperandKind::string_target:
      return true;
    case OperandKind::fixed:
      return operand.number == 0 || operand.number == 4;  // Not counts (CL) and ports (DX).
    default:
      return false;
  }
}

SizeRule size_rule(const CompiledRow& compiled) {
  bool byte = false;
  bool v = false;
  bool y = false;
  bool z = false;
  bool other = false;
  for (const Operand& operand : compiled.operands) {
    if (operand.kind == OperandKind::immediate && operand.size == "v") v = true;
    if (!has_data_size(operand)) continue;
    if (operand.size == "b" || operand.size == "h")
      byte = true;
    else if (operand.size == "v")
      v = true;
    else if (operand.size == "y")
      y = true;
    else if (operand.size == "z")
      z = true;
    else
      other = true;
  }
  if (is_vex(compiled.pattern.map)) return SizeRule::rex;
  if (v) return SizeRule::prefixes;
  if (y || compiled.pattern.prefix == Prefix::operand_size) return SizeRule::rex;
  if (z) return SizeRule::at_most_4;
  return byte && !other ? SizeRule::byte : SizeRule::prefixes;
}

std::expected<ImmediateRule, std::string> immediate_rule(const std::vector<Operand>& operands) {
  ImmediateRule rule = ImmediateRule::none;
  for (const Operand& operand : operands) {
    ImmediateRule wanted = ImmediateRule::none;
    const std::string& size = operand.size;
    switch (operand.kind) {
      case OperandKind::immediate:
        wanted = size == "b"   ? ImmediateRule::byte
                 : size == "w" ? ImmediateRule::word
                 : size == "z" ? ImmediateRule::z
                               : ImmediateRule::v;
        break;
      case OperandKind::xmm_immediate:
        wanted = ImmediateRule::byte;
        break;
      case OperandKind::signed_byte:
        wanted = ImmediateRule::signed_byte;
        break;
      case OperandKind::relative:
        wanted = size == "b" ? ImmediateRule::signed_byte : ImmediateRule::z;
        break;
      case OperandKind::far_pointer:
        wanted = ImmediateRule::far_pointer;
        break;
      case OperandKind::moffs:
        wanted = ImmediateRule::moffs;
        break;
      default:
        continue;
    }
    if (rule == ImmediateRule::none)
      rule = wanted;
    else if (rule == ImmediateRule::word && wanted == ImmediateRule::byte)
      rule = ImmediateRule::word_and_byte;
    else if (rule == ImmediateRule::byte && wanted == ImmediateRule::byte)
      rule = ImmediateRule::two_bytes;
    else
      return std::unexpected("this combination of immediates is not supported");
  }
  return rule;
}

}  // namespace

std::expected<CompiledRow, std::string> compile(const Row& row) {
  CompiledRow compiled;
  compiled.row = &row;
  if (!row.select) return std::unexpected("no handler");
  auto pattern = parse_pattern(row.encoding);
  if (!pattern) return std::unexpected(pattern.error());
  compiled.pattern = *pattern;
  for (const std::string_view text : split(row.operands, ',')) {
    auto operand = parse_operand(text);
    if (!operand) return std::unexpected(operand.error());
    if (uses_modrm(operand->kind) && !compiled.pattern.modrm)
      return std::unexpected(fmt::format("operand '{}' without /r or /digit", text));
    if (operand->kind == OperandKind::opcode_register && compiled.pattern.opcode_count != 8)
      return std::unexpected(fmt::format("operand '{}' without +r", text));
    if (operand->kind == OperandKind::control || operand->kind == OperandKind::debug)
      compiled.ignores_mod = true;
    if (operand->kind == OperandKind::xmm_vvvv || operand->kind == OperandKind::vvvv)
      compiled.uses_vvvv = true;
    compiled.operands.push_back(std::move(*operand));
  }
  for (const Operand& operand : compiled.operands) {
    const bool register_only = operand.kind == OperandKind::xmm_rm_reg ||
                               operand.kind == OperandKind::mmx_rm_reg ||
                               operand.kind == OperandKind::x87_rm ||
                               (operand.kind == OperandKind::modrm_rm_reg && !compiled.ignores_mod);
    const bool memory_only = operand.kind == OperandKind::memory || operand.kind == OperandKind::modrm_vector;
    const Form implied = register_only ? Form::reg : memory_only ? Form::memory : Form::any;
    if (implied == Form::any || compiled.pattern.form == implied) continue;
    if (compiled.pattern.form != Form::any) return std::unexpected("the operands contradict 'mem' or 'reg'");
    compiled.pattern.form = implied;
  }
  const auto immediate = immediate_rule(compiled.operands);
  if (!immediate) return std::unexpected(immediate.error());
  compiled.immediate = *immediate;
  compiled.size = size_rule(compiled);
  return compiled;
}

std::span<const CompiledRow> compiled_rows() {
  static const std::vector<CompiledRow> rows = [] {
    std::vector<CompiledRow> all;
    for (const auto group : {general_rows(), system_rows(), x87_rows(), sse_rows(), vex_rows()}) {
      for (const Row& row : group) {
        auto compiled = compile(row);
        if (!compiled) {
          fmt::print(stderr, "instruction table: '{} {}' ({}): {}\n", row.mnemonic, row.operands,
                     row.encoding, compiled.error());
          std::abort();
        }
        all.push_back(std::move(*compiled));
      }
    }
    return all;
  }();
  return rows;
}

unsigned size_of(const Operand& operand, const Insn& insn) {
  const std::string& size = operand.size;
  const unsigned whole = insn.vector_size == 0 ? 16 : insn.vector_size;
  if (size == "b" || size == "h") return 1;
  if (size == "w") return 2;
  if (size == "d" || size == "ss") return 4;
  if (size == "q" || size == "sd" || size == "pi") return 8;
  if (size == "t") return 10;
  if (size == "dq" || size == "o") return 16;
  if (size == "qq") return 32;
  if (size == "x" || size == "ps" || size == "pd") return whole;
  if (size == "xh") return whole / 2;
  if (size == "xf") return whole / 4;
  if (size == "xe") return whole / 8;
  if (size == "v" || size == "y") return insn.operand_size;
  if (size == "z") return std::min<unsigned>(insn.operand_size, 4);
  return 0;
}

std::string mnemonic(const Insn& insn) {
  // XCHG of the accumulator with itself.
  if (insn.row->encoding == std::string_view("90+r") && insn.reg == 0) return insn.rep ? "pause" : "nop";
  const std::vector<std::string_view> names = split(insn.row->mnemonic, '|');
  if (names.size() < 3) return std::string(names.empty() ? "" : names.front());
  return std::string(names[insn.operand_size == 8 ? 2 : insn.operand_size == 4 ? 1 : 0]);
}

}  // namespace alcove::cpu::soft
