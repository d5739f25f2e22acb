// What the host's own processor can do.
#pragma once

#include <string_view>

namespace alcove::cpu::soft {

// A feature of the processor model (cpuid.h) by name. Those of vectors of 256 bits also need the host's
// kernel.
bool host_has(std::string_view feature);

// All that guests with AVX may execute: AVX and AVX2. There is no processor model with only one of them.
bool host_runs_avx();

}  // namespace alcove::cpu::soft
