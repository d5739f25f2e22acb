#include "machine/choose_hypervisor.h"

#include "cpu/kvm/kvm_hypervisor.h"
#include "cpu/soft/soft_hypervisor.h"

namespace alcove::machine {

Result<std::unique_ptr<cpu::Hypervisor>> choose_hypervisor(HypervisorChoice choice, UniqueFd kvm) {
  switch (choice) {
    case HypervisorChoice::soft:
      break;
    case HypervisorChoice::kvm:
      if (!kvm) {
        return fail(ErrorCode::not_supported, "hypervisor", "/dev/kvm can't be opened",
                    "see `alcove doctor`, or choose auto or soft");
      }
      return cpu::kvm::create_hypervisor(std::move(kvm));
    case HypervisorChoice::automatic:
      // /dev/kvm alone proves nothing: without a processor extension behind it stock kernels die in it.
      if (!kvm) break;
      if (const auto found = cpu::kvm::assess(kvm.get()); !found.usable || !found.hardware_assisted) break;
      if (auto made = cpu::kvm::create_hypervisor(std::move(kvm))) return made;
      break;
  }
  return cpu::soft::create_hypervisor();
}

}  // namespace alcove::machine
