// The configured virtio devices, as PCI functions on the board.
#pragma once

#include <alcove/virtual_machine_configuration.h>

#include <memory>
#include <string>
#include <vector>

#include "devices/balloon/balloon.h"
#include "devices/fs/file_system.h"
#include "devices/gpu/gpu.h"
#include "devices/vsock/vsock.h"
#include "input/router.h"
#include "machine/board.h"
#include "machine/consoles.h"
#include "machine/descriptors.h"
#include "machine/machine.h"
#include "machine/networks.h"
#include "machine/serial_ports.h"
#include "machine/storage.h"
#include "machine/usb_controllers.h"
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
  exec::VirtualClock& clock;
  MachineObserver& observer;
};

class Peripherals {
 public:
  static Result<std::unique_ptr<Peripherals>> create(const DeviceContext& context);

  // No request is in flight on return, and none is taken until resume(). No processor runs.
  void pause();
  void resume();
  // The machine is about to end: what waits for servers that may never answer fails soon. Any thread.
  void abandon_disks();
  // The guest starts anew; its devices have been reset.
  void forget_guest();

  Networks& networks() { return networks_; }
  devices::gpu::Gpu* gpu(size_t index) { return index < gpus_.size() ? gpus_[index] : nullptr; }
  Result<> set_share(size_t device, share::Share share);
  devices::vsock::Vsock* vsock() { return vsock_; }  // Null without one.
  Consoles& consoles() { return consoles_; }
  Storage& storage() { return storage_; }
  input::Router& input() { return input_; }
  UsbControllers& usb() { return usb_; }
  devices::balloon::Balloon* balloon() { return balloon_; }  // Null without one.

 private:
  Result<> add_storage(const DeviceContext& context);
  Result<> add_disk(const DeviceContext& context, const VirtioBlockDeviceConfiguration& device, size_t index);
  Result<> add_disk(const DeviceContext& context, const NVMExpressControllerDeviceConfiguration& device,
                    size_t index);
  Result<> add_disk(const DeviceContext& context, const USBMassStorageDeviceConfiguration& device,
                    size_t index);
  Result<std::shared_ptr<storage::DiskControl>> add_usb_disk(const DeviceContext& context, size_t controller,
                                                             const USBMassStorageDeviceConfiguration& device,
                                                             const std::string& field,
                                                             const DiskEvents& events = {});
  Result<> add_usb_controllers(const DeviceContext& context);
  Result<> add_usb_devices(const DeviceContext& context);
  Result<> add_networks(const DeviceContext& context);
  Result<> add_directory_sharing(const DeviceContext& context);
  Result<> add_sockets(const DeviceContext& context);
  Result<> add_graphics(const DeviceContext& context);
  Result<> add_serial_ports(const DeviceContext& context);
  Result<> add_consoles(const DeviceContext& context);
  Result<> add_input(const DeviceContext& context);
  Result<> add_audio(const DeviceContext& context);
  Result<> add_others(const DeviceContext& context);
  Result<> add(const DeviceContext& context, std::unique_ptr<virtio::Device> device, std::string name);
  Result<> add(const DeviceContext& context, Result<MadeDisk> disk, const std::string& field,
               std::string (*boot_path)(unsigned slot));

  Networks networks_;
  Storage storage_;
  Consoles consoles_;
  input::Router input_;
  devices::balloon::Balloon* balloon_ = nullptr;
  devices::vsock::Vsock* vsock_ = nullptr;
  std::vector<devices::fs::FileSystem*> file_systems_;
  std::vector<devices::gpu::Gpu*> gpus_;
  size_t nvme_count_ = 0;
  UsbControllers usb_;
  std::vector<unsigned> usb_slots_;  // Where they are on the PCI bus.
  std::vector<std::unique_ptr<virtio::Device>> devices_;
  std::vector<std::unique_ptr<virtio::PciTransport>> transports_;  // Destroyed before their devices.
};

}  // namespace alcove::machine
