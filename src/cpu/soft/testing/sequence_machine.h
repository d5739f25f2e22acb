// A processor for random programs: pages of code and data with different rights at fixed addresses, once in
// the lower half of the address space and once more in the upper.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cpu/soft/testing/flat_engine.h"

namespace alcove::cpu::soft::testing {

namespace sequence {

inline constexpr uint64_t kBase = 0x100'0000, kSize = 0x1'0000, kPage = 0x1000;
// Where everything is a second time, and where an UpperView shows it.
inline constexpr uint64_t kUpper = 0xffff'8080'0000'0000, kUpperIndex = kUpper >> 39 & 0x1ff;
inline constexpr uint64_t kTables = kBase;  // Four pages, not mapped.
inline constexpr uint64_t kCode = kBase + 0x5000, kCodeEnd = kBase + 0x7000;
inline constexpr uint64_t kData = kBase + 0x8000, kDataEnd = kBase + 0xa000;  // Nothing behind them.
inline constexpr uint64_t kReadOnly = kBase + 0xb000;
inline constexpr uint64_t kSupervisor = kBase + 0xc000;
inline constexpr uint64_t kStack = kBase + 0xe000, kStackEnd = kBase + 0x10000;
// Fills the code pages: no instruction in 64-bit mode.
inline constexpr uint8_t kFiller = 0x06;

}  // namespace sequence

struct Program {
  std::vector<uint8_t> code;
  uint64_t start = 0;
  std::array<uint64_t, 16> gpr{};
  std::array<uint64_t, 64> vectors{};  // Four words for each YMM register.
  uint32_t flags = 2;
  uint32_t mxcsr = 0x1f80;
  uint8_t cpl = 0;
  uint64_t fs_base = 0, gs_base = 0;
};

// The same with code and what registers point to in the upper half, as supervisors have it.
Program in_upper_half(Program program);

class SequenceMachine {
 public:
  explicit SequenceMachine(bool translated);

  // False if the host can't run translated code.
  bool works() const { return works_; }
  Cpu& cpu() { return engine_.cpu(); }
  FlatEngine& engine() { return engine_; }

  void load_code(const Program& program);
  void unload_code(const Program& program);
  void load_registers(const Program& program);
  // Forgets all translations of addresses, and resets the accessed and dirty bits.
  void forget_addresses();

  std::vector<std::byte> save_memory() { return {engine_.memory().begin(), engine_.memory().end()}; }
  // All pages become global.
  void make_global();
  // All but the page tables.
  void restore_memory(const std::vector<std::byte>& saved);

  // Of the page table entry that the upper half has: its low byte.
  uint8_t upper_half_state();

  // What differs between the two, but for these arithmetic flags; empty: nothing.
  static std::string differences(SequenceMachine& one, SequenceMachine& other, uint32_t ignored_flags);

 private:
  void make_page_tables();

  FlatEngine engine_;
  bool works_ = true;
};

}  // namespace alcove::cpu::soft::testing
