// The rows of x87 instructions by kind, each beside its handlers.
#pragma once

#include <span>

#include "cpu/soft/x86/row.h"

namespace alcove::cpu::soft {

std::span<const Row> x87_memory_rows();
std::span<const Row> x87_register_rows();
std::span<const Row> x87_control_rows();

}  // namespace alcove::cpu::soft
