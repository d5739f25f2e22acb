#include "machine/usb_controllers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "devices/mass_storage/mass_storage.h"

namespace alcove::machine {

namespace {

// Bulk-Only Transport, section 4.1.1: hexadecimal digits in upper case, without hyphens.
std::string serial_of(const UUID& uuid) {
  std::string serial = uuid.string();
  std::erase(serial, '-');
  std::ranges::transform(serial, serial.begin(), [](char c) { return static_cast<char>(std::toupper(c)); });
  return serial;
}

std::unexpected<Error> no_controller(size_t index) {
  return fail(kUSBControllerNotFound, fmt::format("usb_controllers[{}]", index),
              "there is no such controller", "add an XHCIControllerConfiguration");
}

}  // namespace

usb::Xhci& UsbControllers::add(memory::GuestMemory& memory, bus::MessageSink& messages) {
  controllers_.push_back(std::make_unique<usb::Xhci>(usb::XhciOptions{
      .memory = &memory, .messages = &messages, .thread_name = fmt::format("usb {}", count())}));
  return *controllers_.back();
}

Result<UsbControllers::Attached> UsbControllers::attach(size_t controller,
                                                        const USBMassStorageDeviceConfiguration& device,
                                                        std::vector<UniqueFd> image, const std::string& field,
                                                        const DiskEvents& events) {
  if (controller >= controllers_.size()) return no_controller(controller);
  const std::lock_guard lock(mutex_);
  if (plugged_.contains(device.uuid)) {
    return fail(kUSBDeviceAlreadyAttached, field, "a device with this uuid is plugged in already");
  }
  auto disk = open_disk(device.attachment, device.limits, std::move(image), field, events);
  if (!disk) return std::unexpected(std::move(disk.error()));
  usb::Xhci& xhci = *controllers_[controller];
  const auto plugged = std::make_shared<devices::mass_storage::MassStorage>(
      std::move(disk->disk),
      devices::mass_storage::MassStorageOptions{
          .is_optical = device.optical_disc,
          .has_attached_scsi = device.attached_scsi && !device.optical_disc,
          .serial = serial_of(device.uuid)},
      xhci.strand());
  const auto port = xhci.attach(plugged);
  if (!port) {
    return fail(kUSBDeviceInitializationFailure, field, port.error().what, port.error().hint);
  }
  plugged_[device.uuid] = {.controller = controller, .port = *port, .disk = disk->control, .drive = {}};
  if (device.optical_disc) plugged_[device.uuid].drive = plugged;
  return Attached{*port, disk->control};
}

void UsbControllers::detach(size_t controller, const UUID& uuid, Completion<> completion) {
  if (controller >= controllers_.size()) return completion(no_controller(controller));
  const std::lock_guard lock(mutex_);
  const auto found = plugged_.find(uuid);
  if (found == plugged_.end() || found->second.controller != controller) {
    return completion(fail(kUSBDeviceNotFound, fmt::format("usb_controllers[{}]", controller),
                           "no such device is plugged in"));
  }
  const unsigned port = found->second.port;
  plugged_.erase(found);
  controllers_[controller]->detach(
      port, [completion = std::move(completion)](std::shared_ptr<usb::Device> device) mutable {
        device.reset();  // Closes the image.
        completion({});
      });
}

void UsbControllers::change_medium(size_t controller, const UUID& uuid,
                                   const std::optional<StorageDeviceAttachment>& medium,
                                   std::vector<UniqueFd> image, Completion<> completion) {
  if (controller >= controllers_.size()) return completion(no_controller(controller));
  const std::lock_guard lock(mutex_);
  const auto found = plugged_.find(uuid);
  const auto drive = found == plugged_.end() || found->second.controller != controller
                         ? nullptr
                         : found->second.drive.lock();
  if (!drive) {
    return completion(fail(kUSBDeviceNotFound, fmt::format("usb_controllers[{}]", controller),
                           "no such drive is plugged in"));
  }
  std::unique_ptr<storage::Disk> disc;
  if (medium) {
    auto opened = open_disk(*medium, found->second.disk, std::move(image), "attachment");
    if (!opened) return completion(std::unexpected(std::move(opened.error())));
    disc = *std::move(opened);
  }
  drive->change_medium(std::move(disc), [completion = std::move(completion)]() mutable { completion({}); });
}

Result<> UsbControllers::plug(std::shared_ptr<usb::Device> device, const std::string& field) {
  const auto port = controllers_.front()->attach(std::move(device));
  if (!port) return fail(kUSBDeviceInitializationFailure, field, port.error().what, port.error().hint);
  return {};
}

void UsbControllers::set_rushing(bool rushing) {
  const std::lock_guard lock(mutex_);
  for (const auto& [uuid, plugged] : plugged_) plugged.disk->set_rushing(rushing);
}

void UsbControllers::abandon_disks() {
  const std::lock_guard lock(mutex_);
  for (const auto& [uuid, plugged] : plugged_) plugged.disk->abandon();
}

void UsbControllers::pause() {
  set_rushing(true);
  for (const auto& controller : controllers_) controller->pause();
}

void UsbControllers::resume() {
  set_rushing(false);
  for (const auto& controller : controllers_) controller->resume();
}

}  // namespace alcove::machine
