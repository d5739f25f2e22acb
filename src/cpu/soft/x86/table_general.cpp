#include <vector>

#include "cpu/soft/x86/general/groups.h"

namespace alcove::cpu::soft {

std::span<const Row> general_rows() {
  static const std::vector<Row> rows = [] {
    std::vector<Row> all;
    for (const auto group :
         {alu_rows(), shift_rows(), multiply_rows(), bit_rows(), bit_field_rows(), move_rows(),
          exchange_rows(), control_rows(), stack_rows(), string_rows(), decimal_rows(), miscellaneous_rows()})
      all.insert(all.end(), group.begin(), group.end());
    return all;
  }();
  return rows;
}

}  // namespace alcove::cpu::soft
