// What instructions ask of the engine (x86/engine_services.h).
#include "cpu/soft/engine.h"
#include "cpu/soft/x86/engine_services.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kCr4Smap = 1u << 21;

void check_restart(Engine& engine) {
  if (engine.mmu().take_restart()) engine.code().forget_translations();
}

}  // namespace

void update_mode(Cpu& cpu) {
  Mmu& mmu = cpu.engine->mmu();
  const bool wide = cpu.long_mode() && cpu.segments[cs].long_mode();
  cpu.code_size = wide ? 8 : cpu.segments[cs].big() ? 4 : 2;
  cpu.stack_size = wide ? 8 : cpu.segments[ss].big() ? 4 : 2;
  cpu.flat = wide;
  for (unsigned i = 0; i < 6; ++i) cpu.segment_base[i] = wide && i < fs ? 0 : cpu.segments[i].base;
  cpu.tlb = &mmu.tlb(cpu.cpl == 3                                   ? Privilege::user
                     : (cpu.cr4 & kCr4Smap) && !cpu.flags.test(kAc) ? Privilege::supervisor
                                                                    : Privilege::supervisor_user_pages);
  cpu.engine->code().update_mode(cpu);
}

void flush_tlb(Cpu& cpu, bool global) {
  Mmu& mmu = cpu.engine->mmu();
  if (global) {
    mmu.flush_all(cpu);
  } else {
    mmu.flush_non_global(cpu);
  }
  check_restart(*cpu.engine);
}

void flush_pcid(Cpu& cpu, unsigned pcid) {
  cpu.engine->mmu().flush_pcid(cpu, pcid);
  check_restart(*cpu.engine);
}

void flush_page(Cpu& cpu, uint64_t address) {
  cpu.engine->mmu().flush_page(cpu, address);
  cpu.engine->code().forget_page(address);
}

void flush_page(Cpu& cpu, unsigned pcid, uint64_t address) {
  // All pages of that address space, and this one of the present: more than asked for, which processors may
  // do.
  flush_pcid(cpu, pcid);
  flush_page(cpu, address);
}

void switch_address_space(Cpu& cpu, bool keep) {
  cpu.engine->mmu().switch_address_space(cpu, keep);
  check_restart(*cpu.engine);
}

const CpuidFilter& cpuid_filter(const Cpu& cpu) {
  return cpu.engine->shared().cpuid_filter;
}

IoHandler& io_handler(Cpu& cpu) {
  return cpu.engine->io();
}

memory::GuestMemory& guest_memory(Cpu& cpu) {
  return cpu.engine->shared().memory.memory();
}

void end_handler(Cpu& cpu) {
  if (Translator* const translator = cpu.engine->translator()) translator->end_handler();
}

void give_up(Cpu& cpu, Error error) {
  cpu.engine->error = std::move(error);
  _longjmp(cpu.fault_exit, Engine::kGiveUp);
}

}  // namespace alcove::cpu::soft
