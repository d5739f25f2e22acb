// The rows of SSE and MMX instructions by kind, each beside its handlers.
#pragma once

#include <span>

#include "cpu/soft/x86/row.h"

namespace alcove::cpu::soft {

std::span<const Row> sse_move_rows();
std::span<const Row> sse_shuffle_rows();
std::span<const Row> sse_arithmetic_rows();
std::span<const Row> sse_conversion_rows();
std::span<const Row> sse_compare_rows();
std::span<const Row> sse_state_rows();
std::span<const Row> xsave_rows();
std::span<const Row> sse_string_rows();
std::span<const Row> sse_crypto_rows();
std::span<const Row> packed_arithmetic_rows();
std::span<const Row> packed_multiply_rows();
std::span<const Row> packed_shift_rows();
std::span<const Row> packed_shuffle_rows();

}  // namespace alcove::cpu::soft
