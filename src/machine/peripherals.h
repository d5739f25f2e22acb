// The configured virtio devices, as PCI functions on the board.
#pragma once

#include <alcove/virtual_machine_configuration.h>

#include <memory>
#include <string>
#include <vector>

#include "machine/board.h"
#include "machine/descriptors.h"
#include "machine/machine.h"
#include "machine/serial_ports.h"
#include "virtio/pci_transport.h"

namespace alcove::machine {

// What devices are made from; all of it outlives them.
struct DeviceContext {
  const VirtualMachineConfiguration& configuration;
  Descriptors& descriptors;
  Board& board;
  memory::GuestMemory& memory;
  cpu::Vm& vm;
  SerialPorts& serial_ports;
  exec::EventLoop& loop;
  MachineObserver& observer;
};

class Peripherals {
 public:
  static Result<std::unique_ptr<Peripherals>> create(const DeviceContext& context);

  // No request is in flight on return, and none is taken until resume(). No processor runs.
  void pause();
  void resume();

 private:
  Result<> add_serial_ports(const DeviceContext& context);
  Result<> add(const DeviceContext& context, virtio::Device& device, std::string name);

  std::vector<std::unique_ptr<virtio::Device>> devices_;
  std::vector<std::unique_ptr<virtio::PciTransport>> transports_;  // Destroyed before their devices.
};

}  // namespace alcove::machine
