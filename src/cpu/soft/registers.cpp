#include "cpu/soft/registers.h"

#include <fmt/format.h>

#include <algorithm>

#include "cpu/copy_registers.h"
#include "cpu/soft/apic/apic.h"
#include "cpu/soft/mmu/walk.h"
#include "cpu/soft/x86/debug.h"
#include "cpu/soft/x86/engine_services.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kCr0Pe = 1u << 0, kCr0Pg = 1u << 31, kCr4Pae = 1u << 5;
constexpr uint64_t kEferLme = 1u << 8, kEferLma = 1u << 10;

std::unexpected<Error> impossible(const char* field, uint64_t value, const char* why) {
  return fail(ErrorCode::internal, field, fmt::format("{:#x} is not possible: {}", value, why));
}

}  // namespace

X86State read_registers(const Cpu& cpu) {
  X86State state;
  std::copy_n(cpu.gpr.begin(), 16, state.gpr.begin());
  state.rip = cpu.rip;
  state.rflags = cpu.flags.value();
  std::ranges::copy(cpu.segments, state.segments.begin());
  state.tr = cpu.tr;
  state.ldtr = cpu.ldtr;
  state.gdtr = cpu.gdtr;
  state.idtr = cpu.idtr;
  copy_control_registers(state, cpu);
  state.cr8 = cpu.apic->cr8();
  state.apic_base = cpu.apic->base();
  return state;
}

Result<> write_registers(Cpu& cpu, const X86State& state) {
  const bool paging = state.cr0 & kCr0Pg, long_mode = state.efer & kEferLma;
  if (paging && !(state.cr0 & kCr0Pe)) return impossible("cr0", state.cr0, "paging needs protected mode");
  if (long_mode != (paging && (state.efer & kEferLme)))
    return impossible("efer", state.efer, "LMA is set exactly when LME and paging are on");
  if (long_mode && !(state.cr4 & kCr4Pae)) return impossible("cr4", state.cr4, "long mode needs PAE");
  if (state.cr3 >> kPhysicalAddressBits != 0)
    return impossible("cr3", state.cr3, "it exceeds the physical address width");
  if (state.apic_base != cpu.apic->base() && !cpu.apic->set_base(state.apic_base))
    return impossible("apic_base", state.apic_base, "reserved bits or a forbidden change of mode");

  std::copy_n(state.gpr.begin(), 16, cpu.gpr.begin());
  cpu.rip = state.rip;
  cpu.flags.set_value(static_cast<uint32_t>(state.rflags));
  for (size_t i = 0; i < state.segments.size(); ++i) cpu.segments[i] = Segment{state.segments[i]};
  cpu.tr = Segment{state.tr};
  cpu.ldtr = Segment{state.ldtr};
  cpu.gdtr = state.gdtr;
  cpu.idtr = state.idtr;
  copy_control_registers(cpu, state);
  cpu.apic->set_cr8(state.cr8);
  const bool real = !(state.cr0 & kCr0Pe);
  cpu.cpl = real ? 0 : cpu.virtual_8086() ? 3 : cpu.segments[ss].dpl();
  cpu.halted = cpu.interrupt_shadow = false;
  cpu.pending_debug = 0;
  cpu.in_delivery = InDelivery::nothing;
  flush_tlb(cpu, true);
  update_mode(cpu);
  update_debug_mode(cpu);
  return {};
}

}  // namespace alcove::cpu::soft
