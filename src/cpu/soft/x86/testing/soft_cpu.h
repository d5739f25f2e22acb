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
  SoftCpu();

  std::byte* memory(uint64_t address);
  void set_code(std::span<const uint8_t> code);
  Result run(const CpuState& before);

 private:
  void make_page_tables();
  void set_code_size(unsigned bytes);
  void load(const CpuState& state);
  CpuState store();

  FlatEngine engine_;
};

}  // namespace alcove::cpu::soft::testing
