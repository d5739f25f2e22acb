#include <vector>

#include "cpu/soft/x86/row.h"
#include "cpu/soft/x86/x87/groups.h"

namespace alcove::cpu::soft {

std::span<const Row> x87_rows() {
  static const std::vector<Row> rows = [] {
    std::vector<Row> all;
    for (const auto& group : {x87_memory_rows(), x87_register_rows(), x87_control_rows()})
      all.insert(all.end(), group.begin(), group.end());
    return all;
  }();
  return rows;
}

}  // namespace alcove::cpu::soft
