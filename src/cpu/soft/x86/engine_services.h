// What instructions ask of the engine around them. Defined with the MMU and the run loop.
#pragma once

#include <alcove/error.h>

#include <cstdint>

#include "cpu/cpu_features.h"
#include "cpu/hypervisor.h"
#include "cpu/soft/x86/cpu.h"
#include "memory/guest_memory.h"

namespace alcove::cpu::soft {

// Recomputes the fields that follow from CS, SS, the other segments' bases, CPL, CR0, CR4, EFER, RFLAGS.VM
// and RFLAGS.AC: code_size, stack_size, segment_base, flat, tlb… To be called after any of them changed.
void update_mode(Cpu& cpu);

// Forget translations. With `global` also those of global pages.
void flush_tlb(Cpu& cpu, bool global);
// Those of one PCID, but not of global pages.
void flush_pcid(Cpu& cpu, unsigned pcid);
// One page of the present address space, global or not (INVLPG).
void flush_page(Cpu& cpu, uint64_t address);
// One page of one PCID's (INVPCID type 0).
void flush_page(Cpu& cpu, unsigned pcid, uint64_t address);
// CR3 was loaded. With `keep` (bit 63, CR4.PCIDE) translations of its PCID made earlier stay valid.
void switch_address_space(Cpu& cpu, bool keep);

// Of the machine's processor model.
const CpuidFilter& cpuid_filter(const Cpu& cpu);
IoHandler& io_handler(Cpu& cpu);
memory::GuestMemory& guest_memory(Cpu& cpu);

// A shorter way than Cpu::fault_exit to where Cpu::fault is delivered, with that and Cpu::rip as for it:
// returns if there is none.
void end_handler(Cpu& cpu);
// Ends run() with Exit::error: the guest did what the engine can't do. Does not return.
[[noreturn]] void give_up(Cpu& cpu, Error error);

}  // namespace alcove::cpu::soft
