#include "cpu/soft/x86/exceptions.h"

#include <algorithm>

#include "cpu/soft/apic/apic.h"
#include "cpu/soft/x86/debug.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/system/delivery.h"
#include "cpu/soft/x86/system/paravirtual.h"

namespace alcove::cpu::soft {
namespace {

[[noreturn]] void leave(Cpu& cpu, const Fault& fault) {
  cpu.fault = fault;
  if (cpu.insn) cpu.rip = cpu.this_rip();
  end_handler(cpu);
  longjmp(cpu.fault_exit, 1);
}

InDelivery class_of(uint8_t vector) {
  switch (vector) {
    case kDivide:
    case kInvalidTss:
    case kSegmentNotPresent:
    case kStackFault:
    case kGeneralProtection:
      return InDelivery::contributory;
    case kPageFault:
      return InDelivery::page_fault;
    case kDoubleFault:
      return InDelivery::double_fault;
    default:
      return InDelivery::benign;
  }
}

// Whether a second event of class `second` cannot be delivered after the first (SDM vol. 3, table 6-5).
bool makes_double_fault(InDelivery first, InDelivery second) {
  if (first == InDelivery::contributory) return second == InDelivery::contributory;
  if (first == InDelivery::page_fault)
    return second == InDelivery::contributory || second == InDelivery::page_fault;
  return false;
}

bool has_selector_error_code(uint8_t vector) {
  return vector >= kInvalidTss && vector <= kGeneralProtection;
}

void deliver(Cpu& cpu, const Event& event, InDelivery kind) {
  cpu.in_delivery = kind;
  if (cpu.real_mode())
    deliver_real(cpu, event);
  else if (cpu.long_mode())
    deliver_long(cpu, event);
  else
    deliver_protected(cpu, event);
  cpu.in_delivery = InDelivery::nothing;
  update_debug_mode(cpu);
}

void deliver_nmi(Cpu& cpu) {
  cpu.halted = false;
  cpu.nmi_blocked = true;
  deliver_interrupt(cpu, kNmi);
}

void start_up(Cpu& cpu) {
  if (!cpu.wait_for_startup) return;  // A second SIPI is ignored.
  cpu.wait_for_startup = false;
  const uint8_t page = cpu.apic->startup_vector();
  cpu.segments[cs].selector = static_cast<uint16_t>(page << 8);
  cpu.segments[cs].base = uint32_t{page} << 12;
  cpu.rip = 0;
  update_mode(cpu);
}

}  // namespace

void raise(Cpu& cpu, Vector vector) {
  leave(cpu, {.vector = vector});
}

void raise(Cpu& cpu, Vector vector, uint32_t error_code) {
  leave(cpu, {.vector = vector, .has_error_code = true, .error_code = error_code});
}

void raise_page_fault(Cpu& cpu, uint64_t address, uint32_t error_code) {
  leave(cpu, {.vector = kPageFault, .has_error_code = true, .error_code = error_code, .address = address});
}

bool deliver_fault(Cpu& cpu) {
  Fault fault = cpu.fault;
  const InDelivery first = cpu.in_delivery;
  InDelivery kind = class_of(fault.vector);
  cpu.insn = nullptr;
  cpu.pending_debug = 0;
  cpu.interrupt_shadow = false;
  cpu.halted = false;  // A single step ends HLT.
  if (fault.vector == kPageFault) cpu.cr2 = fault.address;

  if (first == InDelivery::double_fault && kind != InDelivery::benign) {
    cpu.in_delivery = InDelivery::nothing;
    return false;
  }
  if (makes_double_fault(first, kind)) {
    fault = {.vector = kDoubleFault, .has_error_code = true, .is_trap = true};
    kind = InDelivery::double_fault;
  } else if (first != InDelivery::nothing && first != InDelivery::software &&
             has_selector_error_code(fault.vector)) {
    fault.error_code |= 1;  // EXT: not the program's own doing.
  }
  if (fault.vector == kDebug) {
    cpu.dr[6] = (cpu.dr[6] & ~uint64_t{0xf}) | fault.debug_bits;
    cpu.dr[7] &= ~uint64_t{0x2000};  // GD
  }
  const Event event{.vector = fault.vector,
                    .has_error_code = fault.has_error_code,
                    .error_code = fault.error_code,
                    .rip = cpu.rip,
                    .flags = cpu.flags.value() | (fault.is_trap ? 0 : kRf)};
  deliver(cpu, event, kind);
  return true;
}

void deliver_interrupt(Cpu& cpu, uint8_t vector) {
  deliver(cpu, {.vector = vector, .rip = cpu.rip, .flags = cpu.flags.value()}, InDelivery::external);
}

void software_interrupt(Cpu& cpu, uint8_t vector, SoftwareInterrupt kind) {
  if (kind == SoftwareInterrupt::int_n && cpu.virtual_8086() && (cpu.flags.system() & kIopl) != kIopl)
    raise(cpu, kGeneralProtection, 0);
  const bool is_int1 = kind == SoftwareInterrupt::int1;
  const bool stepped = cpu.single_step;
  if (is_int1) {  // One debug exception with what MOV SS held back.
    cpu.dr[6] |= cpu.pending_debug & 0xf;
    cpu.pending_debug = 0;
  }
  deliver(cpu,
          {.vector = vector,
           .checks_privilege = !is_int1,
           .rip = cpu.next_rip(),
           .flags = cpu.flags.value() & ~kRf},
          is_int1 ? InDelivery::external : InDelivery::software);
  if (stepped) cpu.pending_debug |= kNoSingleStep;
}

bool deliver_events(Cpu& cpu) {
  const uint32_t attention = cpu.attention.load(std::memory_order_acquire);
  if (attention & kEndWaitAttention) {
    cpu.attention.fetch_and(~kEndWaitAttention, std::memory_order_acq_rel);
    cpu.system.kvm_kicked = true;
  }
  if (attention & kInitAttention) {
    cpu.attention.fetch_and(~(kInitAttention | kNmiAttention | kInterruptAttention),
                            std::memory_order_acq_rel);
    cpu.apic->reset(false);
    reset_registers(cpu, false);
  }
  if (attention & kStartupAttention) {
    cpu.attention.fetch_and(~kStartupAttention, std::memory_order_acq_rel);
    start_up(cpu);
  }
  if (cpu.wait_for_startup) {
    cpu.attention.fetch_and(~(kNmiAttention | kInterruptAttention), std::memory_order_acq_rel);
    cpu.nmi_requests = 0;
    return false;
  }
  if (cpu.interrupt_shadow && !cpu.halted) return true;

  if (attention & kNmiAttention) {
    cpu.attention.fetch_and(~kNmiAttention, std::memory_order_acq_rel);
    // One can wait while another is handled. Two that arrive while none is are both taken: between the
    // instructions of a real processor there would have been time to begin with the first.
    const uint32_t limit = cpu.nmi_blocked ? 1 : 2;
    cpu.nmi_pending = static_cast<uint8_t>(
        std::min(cpu.nmi_pending + cpu.nmi_requests.exchange(0, std::memory_order_acq_rel), limit));
    if (cpu.nmi_pending && !cpu.nmi_blocked) {
      --cpu.nmi_pending;
      deliver_nmi(cpu);
      return true;
    }
  }
  if (attention & kInterruptAttention) {
    cpu.apic->settle_end_of_interrupt();
    // Before the look at the requests, so that one which arrives in between is announced again.
    cpu.attention.fetch_and(~kInterruptAttention, std::memory_order_acq_rel);
    if (cpu.flags.test(kIf)) {
      if (const auto vector = cpu.apic->pending()) {
        cpu.apic->accept(*vector);
        cpu.halted = false;
        offer_end_of_interrupt(cpu);
        tell_stolen_time(cpu);
        deliver_interrupt(cpu, *vector);
        if (cpu.flags.test(kIf)) recheck_interrupts(cpu);
      }
    }
  }
  if (cpu.halted && cpu.system.kvm_kicked) cpu.halted = cpu.system.kvm_kicked = false;
  return !cpu.halted;
}

void recheck_interrupts(Cpu& cpu) {
  if (cpu.apic->has_requests()) cpu.attention.fetch_or(kInterruptAttention, std::memory_order_release);
}

}  // namespace alcove::cpu::soft
