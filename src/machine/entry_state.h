#pragma once

#include "boot/linux_boot.h"
#include "cpu/x86_state.h"

namespace alcove::machine {

// The first processor's state at a kernel's entry, from its state after reset.
cpu::X86State entry_state(const boot::LinuxEntry& entry, cpu::X86State state);

}  // namespace alcove::machine
