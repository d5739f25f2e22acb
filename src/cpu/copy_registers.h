// Registers that X86State, the software engine and the kernel's structures call by the same names.
#pragma once

namespace alcove::cpu {

// Without CR8, which the engine's local APIC holds.
template <class To, class From>
void copy_control_registers(To& to, const From& from) {
  to.cr0 = from.cr0;
  to.cr2 = from.cr2;
  to.cr3 = from.cr3;
  to.cr4 = from.cr4;
  to.efer = from.efer;
}

template <class To, class From>
void copy_descriptor_table(To& to, const From& from) {
  to.base = from.base;
  to.limit = from.limit;
}

}  // namespace alcove::cpu
