// Compares all rows of a group with the host's processor, as a test.
#pragma once

#include <cstdint>
#include <span>

#include "cpu/soft/x86/decoder.h"
#include "cpu/soft/x86/row.h"

namespace alcove::cpu::soft::testing {

struct RowsToCompare {
  uint64_t seed = 1;
  unsigned standard_count = 0;  // Cases a row, unless the environment says otherwise (comparison_count()).
  CodeMode mode = CodeMode::bits64;
  bool translated = false;
};

void compare_rows(std::span<const Row> group, const RowsToCompare& how);

}  // namespace alcove::cpu::soft::testing
