// Stores to a page's part at once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

using Fill = void (*)(std::byte* memory, const void* context);

// Has `fill` store a range within one page, or raises. False if that can't be done
// at once: no RAM is there, or breakpoints are set.
bool store_to_ram(Cpu& cpu, uint64_t address, size_t size, Fill fill, const void* context);

}  // namespace alcove::cpu::soft
