// The least that code needs to run in 64-bit mode at CPL 0: identity page tables and flat segments.
#pragma once

#include "cpu/x86_state.h"
#include "memory/guest_memory.h"

namespace alcove::cpu::kvm {

inline constexpr uint64_t kIdentityTables =
    0x1000;  // Three pages: levels 4 and 3, and one of level 2 for 1 GiB.

// Maps the first GiB to itself with 2 MiB pages, for user code too. False if memory is too small.
bool write_identity_tables(memory::GuestMemory& memory);

// `base` with everything set that 64-bit code at `rip` needs.
X86State long_mode_state(X86State base, uint64_t rip, uint64_t rsp);

}  // namespace alcove::cpu::kvm
