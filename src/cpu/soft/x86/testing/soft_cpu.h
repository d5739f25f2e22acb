// Executes single instructions on our processor, in the surroundings of layout.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cpu/soft/testing/flat_engine.h"
#include "cpu/soft/x86/testing/cpu_state.h"

namespace alcove::cpu::soft::testing {

class SoftCpu {
 public:
  // `translated`: by the translator, where the host allows it (is_translated()), in 64-bit mode only.
  explicit SoftCpu(bool translated = false);
  bool is_translated() const { return translated_; }

  std::byte* memory(uint64_t address);
  void set_code(std::span<const uint8_t> code);
  Result run(const CpuState& before);

 private:
  void make_page_tables();
  void set_code_size(unsigned bytes);
  void load(const CpuState& state);
  CpuState store();

  bool ended_behind(const CpuState& before, const Fault& fault);

  FlatEngine engine_;
  bool translated_;
};

}  // namespace alcove::cpu::soft::testing
