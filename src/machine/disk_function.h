// A disk that is a PCI function of its own: a virtio block device, or an NVM Express controller.
#pragma once

#include <alcove/virtual_machine_configuration.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cpu/hypervisor.h"
#include "machine/disks.h"
#include "machine/machine.h"
#include "memory/guest_memory.h"
#include "pci/function.h"

namespace alcove::machine {

// More queues than that a disk or share gets only if it is told to.
inline constexpr unsigned kMostDefaultQueues = 8;

class DiskFunction {
 public:
  virtual ~DiskFunction() = default;  // Waits for what is in flight, and closes the image.
  virtual pci::Function& function() = 0;
  // As of Peripherals.
  virtual void pause() = 0;
  virtual void resume() = 0;
  // The disk has another size from now on: the guest is told. Any thread.
  virtual void size_changed() = 0;
};

// What such disks are made from; memory and machine outlive them.
struct DiskContext {
  memory::GuestMemory& memory;
  cpu::Vm& vm;
  unsigned cpu_count = 1;
  std::array<uint8_t, 16> machine_identifier{};
};

DiskContext disk_context(const VirtualMachineConfiguration& configuration, memory::GuestMemory& memory,
                         cpu::Vm& vm);
// Tells the observer, which outlives the disk, by the disk's number.
DiskEvents disk_events(MachineObserver& observer, size_t number);

struct MadeDisk {
  std::unique_ptr<DiskFunction> function;
  std::shared_ptr<storage::DiskControl> control;
};

// `field` names the attachment in errors.
Result<MadeDisk> make_disk(const VirtioBlockDeviceConfiguration& device, const DiskContext& context,
                           std::vector<UniqueFd> image, const std::string& field, const DiskEvents& events);
// `number` makes the controller's serial number and identifier its own, and the same at each start.
Result<MadeDisk> make_disk(const NVMExpressControllerDeviceConfiguration& device, const DiskContext& context,
                           std::vector<UniqueFd> image, const std::string& field, const DiskEvents& events,
                           size_t number);

}  // namespace alcove::machine
