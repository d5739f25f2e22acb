// What KVM offers its guests beside the clock: ends of interrupts without an access to the APIC, the time
// stolen from a processor and whether it runs, hypercalls
// (Linux: Documentation/virt/kvm/x86/{msr,hypercalls}.rst).
//
// Where structures are is the guest's word: they are looked up at each access, and what is not RAM is neither
// read nor written.
#pragma once

#include <cstdint>

#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

// --- Ends of interrupts (MSR_KVM_PV_EOI_EN) ---

bool write_kvm_end_of_interrupt(Cpu& cpu, uint64_t value);
// Lets the guest end the interrupt that was just accepted by clearing a bit in its memory, if nothing waits
// for that.
void offer_end_of_interrupt(Cpu& cpu);
// Takes the offer back. True if the guest has made use of it.
bool withdraw_end_of_interrupt(Cpu& cpu);

// --- Stolen time (MSR_KVM_STEAL_TIME) ---

bool write_kvm_steal_time(Cpu& cpu, uint64_t value);
// The machine begins to run, perhaps after a pause: what was before is nobody's theft.
void restart_steal_clock(Cpu& cpu);
// Tells the guest now and then how long its processor could not run though it wanted to.
void tell_stolen_time(Cpu& cpu);
// The processor is going to wait: others need not interrupt it to have its TLB emptied.
void tell_waiting(Cpu& cpu);
// It goes on. True if its TLB must be emptied first.
[[nodiscard]] bool tell_running(Cpu& cpu);

// --- Hypercalls ---

// The answer for RAX. Arguments are in RBX, RCX, RDX and RSI.
uint64_t kvm_hypercall(Cpu& cpu);

}  // namespace alcove::cpu::soft
