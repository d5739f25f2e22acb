// What modify() and the system accesses in access.h are made of.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

void load_with(Cpu& cpu, Tlb& tlb, uint64_t address, void* out, size_t size);
void store_with(Cpu& cpu, Tlb& tlb, uint64_t address, const void* in, size_t size);
// The TLB of implicit supervisor accesses.
Tlb& system_tlb(Cpu& cpu);

// Read-modify-write of what the fast path of modify() does not take: `exchange` gets the old value and makes
// the new one of it, in place; it may be called several times. The old value is left in `old`.
using Exchange = void (*)(void* value, void* context);
void modify_slow(Cpu& cpu, uint64_t address, size_t size, bool locked, void* old, Exchange exchange,
                 void* context);

}  // namespace alcove::cpu::soft
