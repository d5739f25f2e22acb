// The tables that decode() looks up: from opcode, mandatory prefix and ModRM to the row.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "cpu/soft/x86/encoding.h"

namespace alcove::cpu::soft {

// VEX.L and VEX.W.
struct VexBits {
  bool l = false;
  bool w = false;
};

class DecodeTable {
 public:
  // What decode() needs of a row, in one cache line.
  struct Entry {
    const Row* row = nullptr;
    uint32_t flags = 0;
    SizeRule size = SizeRule::prefixes;
    ImmediateRule immediate = ImmediateRule::none;
    bool ignores_mod = false;
    bool opcode_register = false;
    bool uses_vvvv = false;
    bool vector_index = false;
  };

  // Where to look for an opcode: `first` plus stride times value for each thing that matters.
  struct Slot {
    uint32_t first = 0;  // 0: no such instruction.
    uint8_t prefix_stride = 0;
    uint8_t form_stride = 0;
    uint8_t reg_stride = 0;
    uint8_t rm_stride = 0;
    uint8_t l_stride = 0;
    uint8_t w_stride = 0;
    bool modrm = false;
  };

  // Says which rows conflict if any do.
  static std::expected<DecodeTable, std::string> build(std::span<const CompiledRow> rows);
  static const DecodeTable& instance();

  const Slot& slot(bool mode64, OpcodeMap map, uint8_t opcode) const {
    return slots_[mode64][static_cast<size_t>(map)][opcode];
  }
  // Null if no row matches. `prefix` is none, operand_size, f3 or f2.
  const Entry* find(const Slot& slot, Prefix prefix, uint8_t modrm, VexBits vex = {}) const {
    const bool is_register = modrm >= 0xc0;
    const size_t cell = slot.first + static_cast<size_t>(prefix) * slot.prefix_stride +
                        is_register * slot.form_stride + (modrm >> 3 & 7) * slot.reg_stride +
                        (modrm & 7) * slot.rm_stride + vex.l * slot.l_stride + vex.w * slot.w_stride;
    const uint16_t index = cells_[cell];
    return index == 0 ? nullptr : &entries_[index];
  }

 private:
  std::array<std::array<std::array<Slot, 256>, kOpcodeMaps>, 2> slots_{};
  std::vector<uint16_t> cells_;  // Indices into entries_; 0 = none.
  std::vector<Entry> entries_;
};

}  // namespace alcove::cpu::soft
