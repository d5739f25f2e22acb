// The rows of segments, far transfers, system registers and ports.
#include "cpu/soft/x86/row.h"

namespace alcove::cpu::soft {

std::span<const Row> system_rows() {
  return {};
}

}  // namespace alcove::cpu::soft
