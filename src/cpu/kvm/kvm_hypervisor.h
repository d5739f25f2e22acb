// The host's KVM as a Hypervisor, and what to think of it.
#pragma once

#include <memory>
#include <string>

#include "cpu/hypervisor.h"
#include "support/unique_fd.h"

namespace alcove::cpu::kvm {

// `kvm` is an open /dev/kvm. Fails if that KVM lacks something that a machine needs.
Result<std::unique_ptr<Hypervisor>> create_hypervisor(UniqueFd kvm);

// What the host's KVM is good for.
struct Assessment {
  bool usable = false;  // Machines can be created.
  // A processor extension (VMX, SVM) executes guest kernels. If not, each kernel instruction is emulated and
  // a stock kernel fails at the first instruction that the emulator does not know.
  bool hardware_assisted = false;
  double kernel_instructions_per_second = 0;  // Of a loop at CPL 0; 0 if it could not be measured.
  std::string finding;                        // One sentence.
  std::string cure;                           // What to do about it; empty if there is nothing to mend.
};

// Looks at an open /dev/kvm by running a loop in a throw-away machine (some tens of milliseconds at most).
Assessment assess(int kvm);

}  // namespace alcove::cpu::kvm
