// The paravirtual clock of KVM guests: the relation between TSC and time, in guest memory
// (Linux: Documentation/virt/kvm/x86/msr.rst).
#pragma once

#include <cstdint>

#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

// The guest wrote MSR_KVM_WALL_CLOCK_NEW: the time of day at which the machine was made, once.
void write_kvm_wall_clock(Cpu& cpu, uint64_t value);
// MSR_KVM_SYSTEM_TIME_NEW: where this processor's structure is, bit 0 = enabled. The TSC being invariant, the
// structure is written once and holds for good.
void write_kvm_system_time(Cpu& cpu, uint64_t value);
// Says in the structure, if there is one, that the guest was stopped; the guest's watchdogs take that back.
void mark_guest_stopped(Cpu& cpu);

}  // namespace alcove::cpu::soft
