// Delivery in IA-32e mode (Intel SDM vol. 3, 6.14).
#include "cpu/soft/mmu/access.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/system/delivery.h"
#include "cpu/soft/x86/system/segments.h"
#include "cpu/soft/x86/system/stack.h"

namespace alcove::cpu::soft {

void deliver_long(Cpu& cpu, const Event& event) {
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
