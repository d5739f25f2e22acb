// The public object: forwards to its Implementation.
#include <alcove/virtual_machine.h>

#include "client/disk_handles.h"
#include "client/implementation.h"

namespace alcove {

std::string_view to_string(VirtualMachineState state) {
  using enum VirtualMachineState;
  switch (state) {
    case stopped:
      return "stopped";
    case running:
      return "running";
    case paused:
      return "paused";
    case error:
      return "error";
    case starting:
      return "starting";
    case pausing:
      return "pausing";
    case resuming:
      return "resuming";
    case stopping:
      return "stopping";
    case saving:
      return "saving";
    case restoring:
      return "restoring";
  }
  return "unknown";
}

std::string_view to_string(ShutdownMeans means) {
  return means == ShutdownMeans::power_button ? "power button" : "stop";
}

Result<std::unique_ptr<VirtualMachine>> VirtualMachine::create(VirtualMachineConfiguration configuration,
                                                               VirtualMachineOptions options) {
  if (auto problems = configuration.validate(); !problems.empty()) {
    return std::unexpected(std::move(problems.front()));
  }
  auto serial_ports = client::open_serial_ports(configuration);
  if (!serial_ports) return std::unexpected(std::move(serial_ports.error()));
  auto consoles = client::make_console_files(configuration);
  if (!consoles) return std::unexpected(std::move(consoles.error()));
  auto disks = client::duplicate_disk_handles(configuration);
  if (!disks) return std::unexpected(std::move(disks.error()));
  auto networks = client::make_network_files(configuration);
  if (!networks) return std::unexpected(std::move(networks.error()));
  const auto displays = client::open_displays(configuration);
  if (!displays) return std::unexpected(displays.error());
  return std::unique_ptr<VirtualMachine>(new VirtualMachine(std::make_shared<Implementation>(
      std::move(configuration), std::move(options), *std::move(serial_ports), *std::move(consoles),
      *std::move(disks), *std::move(networks), *displays)));
}

VirtualMachine::VirtualMachine(std::shared_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}

VirtualMachine::~VirtualMachine() {
  implementation_->shut_down();
}

const VirtualMachineConfiguration& VirtualMachine::configuration() const {
  return implementation_->configuration();
}

VirtualMachineState VirtualMachine::state() const {
  return implementation_->state();
}

std::optional<Error> VirtualMachine::error() const {
  return implementation_->error();
}

bool VirtualMachine::can_start() const {
  const VirtualMachineState now = state();
  return now == VirtualMachineState::stopped || now == VirtualMachineState::error;
}

bool VirtualMachine::can_pause() const {
  return state() == VirtualMachineState::running;
}

bool VirtualMachine::can_resume() const {
  return state() == VirtualMachineState::paused;
}

bool VirtualMachine::can_stop() const {
  const VirtualMachineState now = state();
  return now == VirtualMachineState::running || now == VirtualMachineState::paused;
}

bool VirtualMachine::can_request_stop() const {
  return state() == VirtualMachineState::running;
}

void VirtualMachine::start(Completion<> completion) {
  start({}, std::move(completion));
}

void VirtualMachine::start(VirtualMachineStartOptions options, Completion<> completion) {
  implementation_->start(std::move(options), std::move(completion));
}

void VirtualMachine::pause(Completion<> completion) {
  implementation_->pause(std::move(completion));
}

void VirtualMachine::resume(Completion<> completion) {
  implementation_->resume(std::move(completion));
}

void VirtualMachine::stop(Completion<> completion) {
  implementation_->stop(std::move(completion));
}

Result<> VirtualMachine::request_stop() {
  return implementation_->request_stop();
}

void VirtualMachine::shutdown(std::chrono::milliseconds grace, Completion<ShutdownMeans> completion) {
  implementation_->shutdown(grace, std::move(completion));
}

Result<> VirtualMachine::wait_until_stopped() const {
  return implementation_->wait_until_stopped();
}

Observation VirtualMachine::observe(VirtualMachineObserver observer) {
  return implementation_->observe(std::move(observer));
}

std::vector<std::shared_ptr<StorageDevice>> VirtualMachine::storage_devices() const {
  return implementation_->storage.all();
}

void VirtualMachine::attach_storage_device(StorageDeviceConfiguration configuration,
                                           Completion<std::shared_ptr<StorageDevice>> completion) {
  implementation_->storage.attach(std::move(configuration), std::move(completion));
}

void VirtualMachine::detach_storage_device(std::shared_ptr<StorageDevice> device, Completion<> completion) {
  detach_storage_device(std::move(device), {}, std::move(completion));
}

void VirtualMachine::detach_storage_device(std::shared_ptr<StorageDevice> device,
                                           StorageDeviceDetachOptions options, Completion<> completion) {
  implementation_->storage.detach(device, options, std::move(completion));
}

const std::vector<NetworkDevice*>& VirtualMachine::network_devices() const {
  return implementation_->network_devices;
}

const std::vector<MemoryBalloonDevice*>& VirtualMachine::memory_balloon_devices() const {
  return implementation_->memory_balloon_devices;
}

const std::vector<GraphicsDevice*>& VirtualMachine::graphics_devices() const {
  return implementation_->graphics_devices;
}

const std::vector<SerialPort*>& VirtualMachine::serial_ports() const {
  return implementation_->serial_ports;
}

const std::vector<DirectorySharingDevice*>& VirtualMachine::directory_sharing_devices() const {
  return implementation_->directory_sharing_devices;
}
const std::vector<VirtioSocketDevice*>& VirtualMachine::socket_devices() const {
  return implementation_->socket_devices;
}

const std::vector<ConsoleDevice*>& VirtualMachine::console_devices() const {
  return implementation_->console_devices;
}

Clipboard* VirtualMachine::clipboard() const {
  return implementation_->clipboard.get();
}

const std::vector<USBController*>& VirtualMachine::usb_controllers() const {
  return implementation_->usb_controllers;
}

bool VirtualMachine::guest_is_ready() const {
  return implementation_->guest_is_ready();
}

int VirtualMachine::process_id() const {
  return implementation_->process_id();
}

std::string VirtualMachine::hypervisor() const {
  return implementation_->hypervisor();
}

std::chrono::nanoseconds VirtualMachine::processor_time() const {
  return implementation_->processor_time();
}

uint64_t VirtualMachine::resident_memory_size() const {
  return implementation_->resident_memory_size();
}

}  // namespace alcove
