#include <vector>

#include "cpu/soft/x86/row.h"
#include "cpu/soft/x86/vex/groups.h"

namespace alcove::cpu::soft {

std::span<const Row> vex_rows() {
  static const std::vector<Row> rows = [] {
    std::vector<Row> all;
    for (const auto& group :
         {vex_move_rows(), vex_float_rows(), vex_conversion_rows(), vex_multiply_add_rows(),
          vex_integer_rows(), vex_shuffle_rows(), vex_masked_rows(), vex_crypto_rows()})
      all.insert(all.end(), group.begin(), group.end());
    return all;
  }();
  return rows;
}

}  // namespace alcove::cpu::soft
