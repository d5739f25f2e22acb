// Random instructions of a row, with operands that reach what is special about them: edge values, page ends,
// registers used twice.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "cpu/soft/x86/decoder.h"
#include "cpu/soft/x86/encoding.h"
#include "cpu/soft/x86/testing/cpu_state.h"
#include "cpu/soft/x86/testing/layout.h"

namespace alcove::cpu::soft::testing {

struct Case {
  std::vector<uint8_t> code;
  Insn insn;
  CpuState before;
  // What to put into memory before, where it will be looked for.
  uint64_t address = 0;
  std::array<uint8_t, 64> bytes{};
};

class CaseGenerator {
 public:
  CaseGenerator(uint64_t seed, CodeMode mode) : random_(seed), mode_(mode) {}

  // Empty where the drawn form is not an instruction, or means another row.
  std::optional<Case> generate(const CompiledRow& row);

 private:
  uint64_t draw() { return random_(); }
  uint64_t below(uint64_t limit) { return random_() % limit; }
  bool chance(unsigned percent) { return below(100) < percent; }
  uint64_t number();
  uint64_t floating_point(bool is_double);
  void draw_memory_address(Case& drawn);
  void draw_vex(const CompiledRow& row, std::vector<uint8_t>& code);
  void draw_code(const CompiledRow& row, Case& drawn);
  void draw_state(const CompiledRow& row, Case& drawn);
  void draw_fpu(const CompiledRow& row, Case& drawn);
  void place_operands(const CompiledRow& row, Case& drawn);

  bool is_64bit() const { return mode_ == CodeMode::bits64; }
  // An address as an offset into the code's or the data's segments.
  uint64_t offset(uint64_t address) const { return address - code_base(static_cast<unsigned>(mode_)); }

  std::mt19937_64 random_;
  CodeMode mode_;
};

}  // namespace alcove::cpu::soft::testing
