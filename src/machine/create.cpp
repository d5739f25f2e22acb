#include "machine/choose_hypervisor.h"
#include "machine/machine.h"

namespace alcove::machine {

Result<std::unique_ptr<Machine>> Machine::create(VirtualMachineConfiguration configuration,
                                                 Descriptors descriptors, MachineObserver& observer) {
  auto hypervisor = choose_hypervisor(configuration.hypervisor, descriptors.take("hypervisor.kvm"));
  if (!hypervisor) return std::unexpected(hypervisor.error());
  return create(std::move(configuration), std::move(descriptors), observer, std::move(*hypervisor));
}

}  // namespace alcove::machine
