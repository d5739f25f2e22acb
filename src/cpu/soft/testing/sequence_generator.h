// Random programs of a few blocks: instructions of the table with operands that mostly lead somewhere, and
// jumps, calls, returns and stores into the code between them.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "cpu/soft/testing/sequence_machine.h"
#include "cpu/soft/x86/encoding.h"

namespace alcove::cpu::soft::testing {

class SequenceGenerator {
 public:
  explicit SequenceGenerator(uint64_t seed);

  Program generate();

 private:
  struct Fixup {
    size_t at;  // Behind the displacement.
    bool is_short;
    unsigned label;
  };

  uint64_t draw() { return random_(); }
  uint64_t below(uint64_t limit) { return random_() % limit; }
  bool chance(unsigned percent) { return below(100) < percent; }
  uint64_t number();
  uint64_t operand_address();
  uint64_t vector_half();

  void byte(uint64_t value) { code_.push_back(static_cast<uint8_t>(value)); }
  void append(uint64_t value, size_t size) {
    for (size_t i = 0; i < size; ++i) byte(value >> 8 * i);
  }
  void set_register(unsigned reg, uint64_t value);

  void unit();
  void instruction(const CompiledRow& row);
  void vex_prefix(const CompiledRow& row, uint8_t extensions, uint8_t vvvv);
  bool try_instruction(const CompiledRow& row);
  void prepare(const CompiledRow& row);
  void jump_if();
  void jump_or_call(uint8_t opcode);
  void indirect();
  void store_into_code();
  void label(bool is_short);

  std::mt19937_64 random_;
  std::vector<const CompiledRow*> rows_;
  std::vector<uint8_t> code_;
  std::vector<size_t> labels_;
  std::vector<Fixup> fixups_;
  unsigned units_ = 0;
  uint64_t start_ = 0;
};

}  // namespace alcove::cpu::soft::testing
