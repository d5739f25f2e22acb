// The rows of the general instructions, by kind; table_general.cpp puts them together.
#pragma once

#include <cstdint>
#include <span>

#include "cpu/soft/x86/flags.h"
#include "cpu/soft/x86/row.h"

namespace alcove::cpu::soft {

std::span<const Row> alu_rows();
std::span<const Row> shift_rows();
std::span<const Row> multiply_rows();
std::span<const Row> bit_rows();
std::span<const Row> bit_field_rows();
std::span<const Row> move_rows();
std::span<const Row> exchange_rows();
std::span<const Row> control_rows();
std::span<const Row> stack_rows();
std::span<const Row> string_rows();
std::span<const Row> decimal_rows();
std::span<const Row> miscellaneous_rows();

inline constexpr FlagEffects kWritesAll{.written = kArithmeticFlags};
inline constexpr FlagEffects kWritesAllReadsCarry{.written = kArithmeticFlags, .read = kCf};
inline constexpr FlagEffects kWritesLogic{.written = kArithmeticFlags & ~kAf, .undefined = kAf};
inline constexpr FlagEffects kWritesAllButCarry{.written = kArithmeticFlags & ~kCf};

}  // namespace alcove::cpu::soft
