#include "machine/machine.h"

#include "config/scanout_limits.h"
#include "machine/implementation.h"
#include "machine/shares.h"

namespace alcove::machine {

namespace {

std::unexpected<Error> no_balloon() {
  return fail(ErrorCode::not_supported, "memory_balloon_devices", "the machine has no memory balloon",
              "add a VirtioTraditionalMemoryBalloonDeviceConfiguration");
}

std::unexpected<Error> no_socket_device() {
  return fail(ErrorCode::not_supported, "socket_devices", "the machine has no socket device",
              "add a VirtioSocketDeviceConfiguration");
}

}  // namespace

Result<std::unique_ptr<Machine>> Machine::create(VirtualMachineConfiguration configuration,
                                                 Descriptors descriptors, MachineObserver& observer,
                                                 std::unique_ptr<cpu::Hypervisor> hypervisor) {
  auto implementation =
      std::make_unique<Implementation>(std::move(configuration), observer, std::move(hypervisor));
  if (auto assembled = implementation->assemble(descriptors); !assembled)
    return std::unexpected(assembled.error());
  return std::unique_ptr<Machine>(new Machine(std::move(implementation)));
}

Machine::Machine(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}
Machine::~Machine() = default;

Result<> Machine::start() {
  return implementation_->start();
}
Result<> Machine::pause() {
  return implementation_->pause();
}
Result<> Machine::resume() {
  return implementation_->resume();
}
Result<> Machine::request_stop() {
  return implementation_->request_stop();
}
void Machine::stop() {
  implementation_->stop();
}

std::string_view Machine::hypervisor() const {
  return implementation_->hypervisor();
}
input::Router& Machine::input() {
  return implementation_->peripherals().input();
}
StorageControl& Machine::storage() {
  return implementation_->peripherals().storage();
}
NetworkControl& Machine::network(size_t index) {
  return implementation_->peripherals().networks().control(index);
}

Result<> Machine::attach_usb(size_t controller, const USBMassStorageDeviceConfiguration& device,
                             std::vector<UniqueFd> image) {
  auto attached =
      implementation_->peripherals().usb().attach(controller, device, std::move(image), "attachment");
  if (!attached) return std::unexpected(std::move(attached.error()));
  return {};
}
void Machine::detach_usb(size_t controller, const UUID& uuid, Completion<> completion) {
  implementation_->peripherals().usb().detach(controller, uuid, std::move(completion));
}

void Machine::change_usb_medium(size_t controller, const UUID& uuid,
                                const std::optional<StorageDeviceAttachment>& medium,
                                std::vector<UniqueFd> image, Completion<> completion) {
  implementation_->peripherals().usb().change_medium(controller, uuid, medium, std::move(image),
                                                     std::move(completion));
}

Result<size_t> Machine::attach_storage(const StorageDeviceConfiguration& device,
                                       std::vector<UniqueFd> image) {
  return implementation_->attach_storage(device, std::move(image));
}
void Machine::detach_storage(size_t number, const StorageDeviceDetachOptions& options,
                             Completion<> completion) {
  implementation_->detach_storage(number, options, std::move(completion));
}

Result<> Machine::set_network_attachment(size_t device,
                                         const std::optional<NetworkDeviceAttachment>& attachment,
                                         Descriptors descriptors) {
  return implementation_->peripherals().networks().attach(device, attachment, std::move(descriptors));
}

Result<> Machine::set_console_attachment(size_t device, size_t port, Descriptors attachment,
                                         std::optional<uint64_t> opening) {
  return implementation_->peripherals().consoles().attach(device, port, std::move(attachment), opening);
}

Result<> Machine::resize_console(size_t device, size_t port, uint16_t columns, uint16_t rows) {
  return implementation_->peripherals().consoles().resize(device, port, columns, rows);
}

Result<> Machine::set_share(size_t device, const std::optional<DirectoryShare>& share, Descriptors folders) {
  auto opened = open_share(share, folders, "share");
  if (!opened) return std::unexpected(std::move(opened.error()));
  return implementation_->peripherals().set_share(device, *std::move(opened));
}

void Machine::connect_socket(uint32_t port, UniqueFd socket, std::chrono::milliseconds timeout,
                             Completion<uint32_t> completion) {
  devices::vsock::Vsock* device = implementation_->peripherals().vsock();
  if (!device) return completion(no_socket_device());
  device->connect(port, std::move(socket), timeout, std::move(completion));
}

void Machine::answer_socket(uint64_t connection, UniqueFd socket, Completion<> completion) {
  devices::vsock::Vsock* device = implementation_->peripherals().vsock();
  if (!device) return completion(no_socket_device());
  device->answer(connection, std::move(socket), std::move(completion));
}

Result<> Machine::set_balloon_target(uint64_t memory_size) {
  devices::balloon::Balloon* balloon = implementation_->peripherals().balloon();
  if (!balloon) return no_balloon();
  balloon->set_target(memory_size);
  return {};
}

void Machine::balloon_statistics(Completion<MemoryBalloonStatistics> completion) {
  devices::balloon::Balloon* balloon = implementation_->peripherals().balloon();
  if (!balloon) return completion(no_balloon());
  balloon->request_statistics([completion = std::move(completion)](
                                  MemoryBalloonStatistics statistics) mutable { completion(statistics); });
}

Result<> Machine::reconfigure_display(size_t device, size_t scanout,
                                      const VirtioGraphicsScanoutConfiguration& configuration) {
  devices::gpu::Gpu* gpu = implementation_->peripherals().gpu(device);
  if (!gpu || scanout >= gpu->scanout_count())
    return fail(ErrorCode::not_supported, "graphics_devices", "there is no such display");
  if (auto problem = config::check_scanout(configuration, "")) return std::unexpected(std::move(*problem));
  gpu->reconfigure(scanout, {.width = configuration.width,
                             .height = configuration.height,
                             .pixels_per_inch = configuration.pixels_per_inch});
  return {};
}

std::vector<cpu::X86State> Machine::processor_states() const {
  return implementation_->processor_states();
}
std::string Machine::serial_log(size_t index) const {
  return implementation_->serial_ports().log(index);
}

}  // namespace alcove::machine
