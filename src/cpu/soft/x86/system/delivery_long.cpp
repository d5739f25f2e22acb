// Delivery in IA-32e mode (Intel SDM vol. 3, 6.14).
#include <array>
#include <cstring>

#include "cpu/soft/mmu/access.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/system/delivery.h"
#include "cpu/soft/x86/system/segments.h"
#include "cpu/soft/x86/system/stack.h"

namespace alcove::cpu::soft {
namespace {

// The usual: through a gate without IST to 64-bit code of CPL 0, with all that is accessed in the TLB. False,
// with nothing done, if it is anything else.
bool deliver_at_once(Cpu& cpu, const Event& event) {
  Tlb& tlb = system_tlb(cpu);
  const auto memory = [&](uint64_t address, size_t size, bool write) -> std::byte* {
    const TlbEntry& entry = tlb.entry(address);
    if ((write ? entry.write_tag : entry.read_tag) != wanted_tag(address, size, cpu.tlb_generation))
      return nullptr;
    return reinterpret_cast<std::byte*>(address + entry.addend);
  };
  const auto word = [&](uint64_t address, uint64_t& value) {
    const std::byte* const host = memory(address, sizeof value, false);
    if (host) std::memcpy(&value, host, sizeof value);
    return host != nullptr;
  };
  const uint64_t gate = cpu.idtr.base + event.vector * 16u;
  uint64_t low = 0, high = 0, descriptor = 0;
  if (event.checks_privilege || event.vector * 16u + 15 > cpu.idtr.limit || !word(gate, low) ||
      !word(gate + 8, high))
    return false;
  constexpr uint64_t kPresentGate = uint64_t{0x8e00} << 32,
                     kGateBits = uint64_t{0x9e07} << 32;  // Of both types.
  if ((low & kGateBits) != kPresentGate) return false;
  const auto selector = static_cast<uint16_t>(low >> 16);
  const unsigned offset = selector & ~7u;
  if (is_null(selector) || (selector & 4) || offset + 7 > cpu.gdtr.limit ||
      !word(cpu.gdtr.base + offset, descriptor))
    return false;
  // Present, not conforming, accessed, of CPL 0, L and not D.
  constexpr uint64_t kCode = uint64_t{0x2099} << 40, kCodeBits = uint64_t{0x60fd} << 40;
  const uint64_t target = (low & 0xffff) | (low >> 32 & 0xffff0000) | high << 32;
  if ((descriptor & kCodeBits) != kCode || !is_canonical(target)) return false;

  uint64_t pointer = cpu.gpr[rsp];
  if (cpu.cpl != 0) {
    if (cpu.tr.limit < 11 || !word(cpu.tr.base + 4, pointer)) return false;
  } else if (cpu.tlb != &tlb) {
    return false;
  }
  const std::array<uint64_t, 6> frame = {event.error_code, event.rip,    cpu.segments[cs].selector,
                                         event.flags,      cpu.gpr[rsp], cpu.segments[ss].selector};
  const size_t size = sizeof frame - (event.has_error_code ? 0 : sizeof frame[0]);
  pointer = (pointer & ~uint64_t{15}) - size;
  std::byte* const host = memory(pointer, size, true);
  if (!host) return false;
  std::memcpy(host, reinterpret_cast<const std::byte*>(frame.data()) + (sizeof frame - size), size);

  if (cpu.cpl != 0) cpu.segments[ss] = {};
  cpu.segments[cs] = decode_segment(static_cast<uint16_t>(selector & ~3u), descriptor);
  cpu.cpl = 0;
  cpu.rip = target;
  cpu.gpr[rsp] = pointer;
  for (const Flag flag : {kTf, kNt, kRf, kVm}) cpu.flags.set(flag, false);
  constexpr uint64_t kTrap = uint64_t{1} << 40;
  if (!(low & kTrap)) cpu.flags.set(kIf, false);
  update_mode(cpu);
  return true;
}

}  // namespace

void deliver_long(Cpu& cpu, const Event& event) {
  if (deliver_at_once(cpu, event)) return;
  const uint32_t gate_error = event.vector * 8u + 2;
  if (event.vector * 16u + 15 > cpu.idtr.limit) raise(cpu, kGeneralProtection, gate_error);
  const uint64_t gate_address = cpu.idtr.base + event.vector * 16u;
  const uint64_t low = load_system<uint64_t>(cpu, gate_address);
  const uint64_t high = load_system<uint64_t>(cpu, gate_address + 8);
  const unsigned type = low >> 40 & 0x1f;
  if (type != kInterruptGate && type != kTrapGate) raise(cpu, kGeneralProtection, gate_error);
  if (event.checks_privilege && (low >> 45 & 3) < cpu.cpl) raise(cpu, kGeneralProtection, gate_error);
  if (!(low >> 47 & 1)) raise(cpu, kSegmentNotPresent, gate_error);

  const auto selector = static_cast<uint16_t>(low >> 16);
  const uint64_t target = (low & 0xffff) | (low >> 32 & 0xffff0000) | high << 32;
  if (is_null(selector)) raise(cpu, kGeneralProtection, 0);
  Descriptor code = read_descriptor(cpu, selector, kGeneralProtection);
  if (!code.segment.is_code() || code.segment.dpl() > cpu.cpl || !code.segment.long_mode() ||
      code.segment.big())
    raise(cpu, kGeneralProtection, selector & ~3u);
  if (!code.segment.present()) raise(cpu, kSegmentNotPresent, selector & ~3u);
  const unsigned cpl = is_conforming(code.segment) ? cpu.cpl : code.segment.dpl();

  uint64_t pointer = cpu.gpr[rsp];
  if (const unsigned stack_index = low >> 32 & 7)
    pointer = task_stack_64(cpu, 3 + stack_index);
  else if (cpl < cpu.cpl)
    pointer = task_stack_64(cpu, cpl);
  Stack stack(cpu, cpu.segments[ss], pointer & ~uint64_t{15}, 8, cpl, 0);
  stack.push<uint64_t>(cpu.segments[ss].selector);
  stack.push<uint64_t>(cpu.gpr[rsp]);
  stack.push<uint64_t>(event.flags);
  stack.push<uint64_t>(cpu.segments[cs].selector);
  stack.push<uint64_t>(event.rip);
  if (event.has_error_code) stack.push<uint64_t>(event.error_code);
  if (!is_canonical(target)) raise(cpu, kGeneralProtection, 0);

  if (cpl != cpu.cpl) {
    Segment null;
    null.selector = static_cast<uint16_t>(cpl);
    null.access = static_cast<uint16_t>(cpl << 5);
    cpu.segments[ss] = null;
  }
  commit_code_segment(cpu, code, cpl, target);
  cpu.gpr[rsp] = stack.pointer();
  for (const Flag flag : {kTf, kNt, kRf, kVm}) cpu.flags.set(flag, false);
  if (type == kInterruptGate) cpu.flags.set(kIf, false);
  update_mode(cpu);
}

}  // namespace alcove::cpu::soft
