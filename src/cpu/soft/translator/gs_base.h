// The base of the host's GS, by which translated code finds all that it uses.
//
// Linux keeps it for each thread since 5.9 (AT_HWCAP2 says so). Where the processor has WRGSBASE but the
// kernel knows nothing of it, as in some virtual machines, a thread finds the base that it asked the kernel
// for after it was preempted: that is one around which nothing is mapped, so that the next use faults, and
// the handler sets the right one again.
#pragma once

#include <cstdint>

namespace alcove::cpu::soft {

// Whether this host lets threads set it. To be called before the others.
bool can_set_gs_base();

// Of this thread.
void set_gs_base(uint64_t base);

// After a fault: false if it has that base. Sets it otherwise; then the access is to be made again.
bool restore_gs_base(uint64_t base);

}  // namespace alcove::cpu::soft
