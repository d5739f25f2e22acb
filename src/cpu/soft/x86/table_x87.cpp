#include "cpu/soft/x86/row.h"

namespace alcove::cpu::soft {

std::span<const Row> x87_rows() {
  return {};
}

}  // namespace alcove::cpu::soft
