// The rows of instructions with a VEX prefix by kind, and how they are executed.
#pragma once

#include <span>

#include "cpu/soft/x86/row.h"

namespace alcove::cpu::soft {

std::span<const Row> vex_move_rows();
std::span<const Row> vex_float_rows();
std::span<const Row> vex_conversion_rows();
std::span<const Row> vex_multiply_add_rows();
std::span<const Row> vex_integer_rows();
std::span<const Row> vex_shuffle_rows();
std::span<const Row> vex_masked_rows();
std::span<const Row> vex_crypto_rows();

}  // namespace alcove::cpu::soft
