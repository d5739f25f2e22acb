#include "cpu/soft/x86/row.h"

namespace alcove::cpu::soft {

std::span<const Row> sse_rows() {
  return {};
}

}  // namespace alcove::cpu::soft
