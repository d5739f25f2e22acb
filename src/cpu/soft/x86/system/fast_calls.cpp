// SYSCALL, SYSENTER and their returns, and the registers that go with them (Intel SDM vol. 2).
#include "cpu/soft/x86/debug.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/exceptions.h"
#include "cpu/soft/x86/system/handlers.h"
#include "cpu/soft/x86/system/segments.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kSyscallEnable = 1;     // EFER.SCE
constexpr uint64_t kFsGsBase = 1u << 16;   // CR4.FSGSBASE
constexpr uint16_t kCodeAccess = 0x809b;   // Present code, readable, accessed; granularity.
constexpr uint16_t kStackAccess = 0xc093;  // Present data, writable, accessed; big, granularity.

Segment flat_segment(uint16_t selector, uint16_t access, unsigned dpl) {
  Segment segment;
  segment.selector = selector;
  segment.access = static_cast<uint16_t>(access | dpl << 5);
  segment.limit = 0xffffffff;
  return segment;
}

// CS and SS of these instructions come from no table.
std::array<Segment, 2> segments_for(unsigned code, unsigned stack, unsigned cpl, bool is_64bit) {
  const uint16_t mode = is_64bit ? 0x2000 : 0x4000;  // L or D
  return {flat_segment(static_cast<uint16_t>((code & ~3u) | cpl), kCodeAccess | mode, cpl),
          flat_segment(static_cast<uint16_t>((stack & ~3u) | cpl), kStackAccess, cpl)};
}

void enter(Cpu& cpu, const std::array<Segment, 2>& segments, unsigned cpl, uint64_t rip) {
  cpu.segments[cs] = segments[0];
  cpu.segments[ss] = segments[1];
  cpu.cpl = static_cast<uint8_t>(cpl);
  cpu.rip = rip;
  update_mode(cpu);
}

void require_fsgsbase(Cpu& cpu) {
  if (!(cpu.cr4 & kFsGsBase)) raise(cpu, kInvalidOpcode);
}

void read_base(Cpu& cpu, const Insn& insn, SegmentIndex index) {
  require_fsgsbase(cpu);
  write_sized(cpu, insn.rm, cpu.segments[index].base, insn.operand_size);
}

void write_base(Cpu& cpu, const Insn& insn, SegmentIndex index) {
  require_fsgsbase(cpu);
  const uint64_t value = insn.operand_size == 8 ? cpu.gpr[insn.rm] : static_cast<uint32_t>(cpu.gpr[insn.rm]);
  if (!is_canonical(value)) raise(cpu, kGeneralProtection, 0);
  cpu.segments[index].base = value;
  cpu.segment_base[index] = value;
}

}  // namespace

std::array<Segment, 2> system_call_segments(const Cpu& cpu) {
  const auto selector = static_cast<uint16_t>(cpu.star >> 32);
  return segments_for(selector, (selector & ~3u) + 8, 0, true);
}

std::array<Segment, 2> system_return_segments(const Cpu& cpu) {
  const auto selector = static_cast<uint16_t>(cpu.star >> 48);
  return segments_for(selector + 16u, selector + 8u, 3, true);
}

void system_call(Cpu& cpu, const Insn&) {
  if (!(cpu.efer & kSyscallEnable) || !cpu.in_64bit()) raise(cpu, kInvalidOpcode);
  cpu.gpr[rcx] = cpu.next_rip();
  const uint32_t flags = cpu.flags.value() & ~kRf;
  cpu.gpr[r11] = flags;
  cpu.flags.set_value(flags & ~static_cast<uint32_t>(cpu.sfmask));
  // TF counts as SFMASK leaves it.
  if (cpu.single_step && !cpu.flags.test(kTf)) cpu.pending_debug |= kNoSingleStep;
  enter(cpu, system_call_segments(cpu), 0, cpu.lstar);
  update_debug_mode(cpu);
}

void system_return(Cpu& cpu, const Insn& insn) {
  if (!(cpu.efer & kSyscallEnable) || !cpu.in_64bit()) raise(cpu, kInvalidOpcode);
  require_cpl0(cpu);
  const bool to_64bit = insn.operand_size == 8;
  const uint64_t rip = to_64bit ? cpu.gpr[rcx] : static_cast<uint32_t>(cpu.gpr[rcx]);
  // As Intel's processors do: the fault is the kernel's.
  if (!is_canonical(rip)) raise(cpu, kGeneralProtection, 0);
  cpu.flags.set_value(static_cast<uint32_t>(cpu.gpr[r11]) & 0x3c7fd7);
  const auto selector = static_cast<uint16_t>(cpu.star >> 48);
  enter(cpu, to_64bit ? system_return_segments(cpu) : segments_for(selector, selector + 8u, 3, false), 3,
        rip);
  update_debug_mode(cpu);
  if (cpu.flags.test(kIf)) recheck_interrupts(cpu);
}

void system_enter(Cpu& cpu, const Insn&) {
  const auto selector = static_cast<uint16_t>(cpu.sysenter_cs & ~3u);
  if (!cpu.protected_mode() || selector == 0) raise(cpu, kGeneralProtection, 0);
  const bool to_64bit = cpu.long_mode();
  for (const Flag flag : {kVm, kIf, kRf}) cpu.flags.set(flag, false);
  cpu.gpr[rsp] = to_64bit ? cpu.sysenter_esp : static_cast<uint32_t>(cpu.sysenter_esp);
  enter(cpu, segments_for(selector, selector + 8u, 0, to_64bit), 0,
        to_64bit ? cpu.sysenter_eip : static_cast<uint32_t>(cpu.sysenter_eip));
}

void system_exit(Cpu& cpu, const Insn& insn) {
  const auto selector = static_cast<uint16_t>(cpu.sysenter_cs & ~3u);
  if (!cpu.protected_mode() || selector == 0) raise(cpu, kGeneralProtection, 0);
  require_cpl0(cpu);
  const bool to_64bit = insn.operand_size == 8;
  const uint64_t rip = to_64bit ? cpu.gpr[rdx] : static_cast<uint32_t>(cpu.gpr[rdx]);
  const uint64_t stack = to_64bit ? cpu.gpr[rcx] : static_cast<uint32_t>(cpu.gpr[rcx]);
  if (!is_canonical(rip) || !is_canonical(stack)) raise(cpu, kGeneralProtection, 0);
  cpu.gpr[rsp] = stack;
  enter(cpu, segments_for(selector + (to_64bit ? 32u : 16u), selector + (to_64bit ? 40u : 24u), 3, to_64bit),
        3, rip);
}

void swap_gs(Cpu& cpu, const Insn&) {
  require_cpl0(cpu);
  std::swap(cpu.segments[gs].base, cpu.kernel_gs_base);
  cpu.segment_base[gs] = cpu.segments[gs].base;
}

void read_fs_base(Cpu& cpu, const Insn& insn) {
  read_base(cpu, insn, fs);
}
void read_gs_base(Cpu& cpu, const Insn& insn) {
  read_base(cpu, insn, gs);
}
void write_fs_base(Cpu& cpu, const Insn& insn) {
  write_base(cpu, insn, fs);
}
void write_gs_base(Cpu& cpu, const Insn& insn) {
  write_base(cpu, insn, gs);
}

}  // namespace alcove::cpu::soft
