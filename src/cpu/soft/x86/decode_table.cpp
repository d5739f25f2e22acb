#include "cpu/soft/x86/decode_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace alcove::cpu::soft {
namespace {

constexpr unsigned kPrefixes = 4;

bool covers(const CompiledRow& row, bool mode64, OpcodeMap map, unsigned opcode) {
  const Pattern& pattern = row.pattern;
  if (row.row->flags & (mode64 ? kNo64 : kOnly64)) return false;
  return pattern.map == map && opcode >= pattern.opcode && opcode < pattern.opcode + pattern.opcode_count;
}

// One way to write an opcode down.
struct Point {
  unsigned prefix;
  bool is_register;
  unsigned reg;
  unsigned rm;
  unsigned l;
  unsigned w;
};

bool agrees(int8_t wanted, unsigned value) {
  return wanted < 0 || static_cast<unsigned>(wanted) == value;
}

bool matches(const Pattern& pattern, const Point& point) {
  if (pattern.prefix != Prefix::any && static_cast<unsigned>(pattern.prefix) != point.prefix) return false;
  if (pattern.form != Form::any && (pattern.form == Form::reg) != point.is_register) return false;
  return agrees(pattern.digit, point.reg) && agrees(pattern.rm, point.rm) && agrees(pattern.vex_l, point.l) &&
         agrees(pattern.vex_w, point.w);
}

// Of two rows that match, the one that says more is meant: PAUSE (F3 90) before NOP (90) before XCHG (90+r).
unsigned specificity(const Pattern& pattern) {
  return (pattern.rm >= 0 ? 64 : 0) + (pattern.digit >= 0 ? 32 : 0) + (pattern.form != Form::any ? 16 : 0) +
         (pattern.prefix != Prefix::any ? 8 : 0) + (pattern.opcode_count == 1 ? 4 : 0) +
         (pattern.vex_l >= 0 ? 2 : 0) + (pattern.vex_w >= 0 ? 1 : 0);
}

std::string describe(const CompiledRow& row) {
  return fmt::format("'{} {}' ({})", row.row->mnemonic, row.row->operands, row.row->encoding);
}

}  // namespace

std::expected<DecodeTable, std::string> DecodeTable::build(std::span<const CompiledRow> rows) {
  DecodeTable table;
  table.cells_.push_back(0);
  table.entries_.emplace_back();
  for (const CompiledRow& row : rows) {
    Entry entry{.row = row.row,
                .flags = row.row->flags,
                .size = row.size,
                .immediate = row.immediate,
                .ignores_mod = row.ignores_mod,
                .opcode_register = row.pattern.opcode_count == 8,
                .uses_vvvv = row.uses_vvvv,
                .vector_index = std::ranges::any_of(row.operands, [](const Operand& operand) {
                  return operand.kind == OperandKind::modrm_vector;
                })};
    table.entries_.push_back(entry);
  }

  for (unsigned key = 0; key < 2 * kOpcodeMaps * 256; ++key) {
    const bool mode64 = key >= kOpcodeMaps * 256;
    const auto map = static_cast<OpcodeMap>((key >> 8) % kOpcodeMaps);
    const unsigned opcode = key & 0xff;
    std::vector<size_t> candidates;
    bool modrm = false;
    bool by_prefix = false;
    bool by_form = false;
    bool by_reg = false;
    bool by_rm = false;
    bool by_l = false;
    bool by_w = false;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (!covers(rows[i], mode64, map, opcode)) continue;
      const Pattern& pattern = rows[i].pattern;
      if (!candidates.empty() && pattern.modrm != modrm)
        return std::unexpected(fmt::format("{} and {} disagree about ModRM",
                                           describe(rows[candidates.front()]), describe(rows[i])));
      modrm = pattern.modrm;
      by_prefix |= pattern.prefix != Prefix::any;
      by_form |= pattern.form != Form::any;
      by_reg |= pattern.digit >= 0;
      by_rm |= pattern.rm >= 0;
      by_l |= pattern.vex_l >= 0;
      by_w |= pattern.vex_w >= 0;
      candidates.push_back(i);
    }
    if (candidates.empty()) continue;

    Slot slot{.first = static_cast<uint32_t>(table.cells_.size()), .modrm = modrm};
    unsigned count = 1;
    const auto add_dimension = [&count](bool wanted, unsigned size) {
      const unsigned stride = wanted ? count : 0;
      count *= wanted ? size : 1;
      return static_cast<uint8_t>(stride);
    };
    slot.rm_stride = add_dimension(by_rm, 8);
    slot.reg_stride = add_dimension(by_reg, 8);
    slot.form_stride = add_dimension(by_form, 2);
    slot.l_stride = add_dimension(by_l, 2);
    slot.w_stride = add_dimension(by_w, 2);
    slot.prefix_stride = add_dimension(by_prefix, kPrefixes);

    for (unsigned cell = 0; cell < count; ++cell) {
      unsigned rest = cell;
      const auto take_dimension = [&rest](bool wanted, unsigned size) {
        const unsigned value = wanted ? rest % size : 0;
        rest /= wanted ? size : 1;
        return value;
      };
      Point point{};
      point.rm = take_dimension(by_rm, 8);
      point.reg = take_dimension(by_reg, 8);
      point.is_register = take_dimension(by_form, 2);
      point.l = take_dimension(by_l, 2);
      point.w = take_dimension(by_w, 2);
      point.prefix = take_dimension(by_prefix, kPrefixes);
      size_t best = rows.size();
      for (const size_t i : candidates) {
        if (!matches(rows[i].pattern, point)) continue;
        if (best != rows.size() && specificity(rows[i].pattern) == specificity(rows[best].pattern))
          return std::unexpected(
              fmt::format("{} and {} are the same", describe(rows[best]), describe(rows[i])));
        if (best == rows.size() || specificity(rows[i].pattern) > specificity(rows[best].pattern)) best = i;
      }
      table.cells_.push_back(best == rows.size() ? 0 : static_cast<uint16_t>(best + 1));
    }
    table.slots_[mode64][static_cast<size_t>(map)][opcode] = slot;
  }
  return table;
}

const DecodeTable& DecodeTable::instance() {
  static const DecodeTable table = [] {
    auto built = build(compiled_rows());
    if (!built) {
      fmt::print(stderr, "instruction table: {}\n", built.error());
      std::abort();
    }
    return std::move(*built);
  }();
  return table;
}

}  // namespace alcove::cpu::soft
