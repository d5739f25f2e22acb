// Compares instructions between the host's processor and ours.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "cpu/soft/x86/encoding.h"
#include "cpu/soft/x86/testing/case_generator.h"
#include "cpu/soft/x86/testing/host_cpu.h"
#include "cpu/soft/x86/testing/soft_cpu.h"

namespace alcove::cpu::soft::testing {

class Comparison {
 public:
  // Null with an explanation if this host can't.
  static std::unique_ptr<Comparison> create(uint64_t seed, const char*& reason,
                                            CodeMode mode = CodeMode::bits64, bool translated = false);

  // Whether this host has the row's instruction, and it can be tried in a user's process.
  bool is_comparable(const CompiledRow& row) const;
  // Runs `count` random instructions of the row; what differed, with all that is needed to try it again.
  std::optional<std::string> run(const CompiledRow& row, unsigned count);
  // One given instruction and state.
  std::optional<std::string> run(const Case& tried);

  uint64_t compared() const { return compared_; }
  uint64_t faulted() const { return faulted_; }

 private:
  Comparison(uint64_t seed, CodeMode mode) : mode_(mode), generator_(seed, mode) {}

  CodeMode mode_;
  CaseGenerator generator_;
  std::unique_ptr<HostCpu> host_;
  std::unique_ptr<SoftCpu> soft_;
  uint64_t compared_ = 0;
  uint64_t faulted_ = 0;
};

// How many instructions of each row to try: ALCOVE_COMPARE_COUNT, or `standard`.
unsigned comparison_count(unsigned standard);

}  // namespace alcove::cpu::soft::testing
