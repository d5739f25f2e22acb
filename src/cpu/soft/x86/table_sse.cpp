#include <vector>

#include "cpu/soft/x86/row.h"
#include "cpu/soft/x86/sse/groups.h"

namespace alcove::cpu::soft {

std::span<const Row> sse_rows() {
  static const std::vector<Row> rows = [] {
    std::vector<Row> all;
    for (const auto& group :
         {sse_move_rows(), sse_shuffle_rows(), sse_arithmetic_rows(), sse_conversion_rows(),
          sse_compare_rows(), sse_state_rows(), xsave_rows(), sse_string_rows(), sse_crypto_rows(),
          packed_arithmetic_rows(), packed_multiply_rows(), packed_shift_rows(), packed_shuffle_rows()})
      all.insert(all.end(), group.begin(), group.end());
    return all;
  }();
  return rows;
}

}  // namespace alcove::cpu::soft
