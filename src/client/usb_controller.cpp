#include "client/usb_controller.h"

#include <fmt/format.h>

#include <algorithm>

#include "client/host_files.h"
#include "config/validate.h"

namespace alcove::client {

using control::Json;

namespace {

std::unexpected<Error> refusal(Error error) {
  if (error.code == ErrorCode::invalid_disk_image) error.code = kUSBDeviceInitializationFailure;
  return std::unexpected(std::move(error));
}

// What the machine's process gets; nothing for a network block device.
Result<std::vector<UniqueFd>> open_image(const USBMassStorageDeviceConfiguration& device) {
  Result<std::vector<UniqueFd>> image;
  if (auto problems = config::validate_usb_device(device); !problems.empty()) {
    image = std::unexpected(std::move(problems.front()));
  } else {
    image = open_attachment(device.attachment, "attachment");
  }
  if (!image) image.error().code = kUSBDeviceInitializationFailure;
  return image;
}

}  // namespace

USBControllerProxy::USBControllerProxy(DeviceRequests& requests, std::shared_ptr<PluggedDevices> plugged,
                                       size_t index, const XHCIControllerConfiguration& configuration)
    : requests_(requests), plugged_(std::move(plugged)), index_(index) {
  for (const USBDeviceConfiguration& device : configuration.usb_devices) {
    configured_.push_back(
        std::make_shared<USBMassStorageDevice>(std::get<USBMassStorageDeviceConfiguration>(device)));
  }
  reset();
}

// Devices may outlive their machine.
USBControllerProxy::~USBControllerProxy() {
  clear();
}

std::vector<std::shared_ptr<USBDevice>> USBControllerProxy::usb_devices() const {
  const std::lock_guard lock(plugged_->mutex);
  return devices_;
}

bool USBControllerProxy::plug(const std::shared_ptr<USBDevice>& device) {
  const std::lock_guard lock(plugged_->mutex);
  if (std::ranges::find(plugged_->uuids, device->uuid()) != plugged_->uuids.end()) return false;
  USBController* nowhere = nullptr;
  if (!device->controller_.compare_exchange_strong(nowhere, this)) return false;
  plugged_->uuids.push_back(device->uuid());
  return true;
}

void USBControllerProxy::unplug(const std::shared_ptr<USBDevice>& device) {
  const std::lock_guard lock(plugged_->mutex);
  std::erase(devices_, device);
  std::erase(plugged_->uuids, device->uuid());
  device->controller_ = nullptr;
  if (auto* storage = dynamic_cast<USBMassStorageDevice*>(device.get()))
    storage->set_medium(storage->configuration().attachment);
}

void USBControllerProxy::clear() {
  for (const auto& device : usb_devices()) unplug(device);
}

void USBControllerProxy::reset() {
  for (const auto& device : configured_) {
    if (!plug(device)) continue;
    const std::lock_guard lock(plugged_->mutex);
    devices_.push_back(device);
  }
}

void USBControllerProxy::attach(std::shared_ptr<USBDevice> device, Completion<> completion) {
  const auto* storage = dynamic_cast<const USBMassStorageDevice*>(device.get());
  if (!storage) {
    return requests_.refuse(std::move(completion), {kUSBDeviceInitializationFailure, "device",
                                                    "is not of a kind that can be attached", ""});
  }
  if (!plug(device)) {
    return requests_.refuse(
        std::move(completion),
        {kUSBDeviceAlreadyAttached, "device", "it, or a device with its uuid, is plugged in already", ""});
  }
  const USBMassStorageDeviceConfiguration& configuration = storage->configuration();
  auto image = open_image(configuration);
  if (!image) {
    unplug(device);
    return requests_.refuse(std::move(completion), std::move(image.error()));
  }
  requests_.request_for_device(
      {{"request", "attach_usb"},
       {"controller", index_},
       {"device", config::to_tree(USBDeviceConfiguration(configuration))}},
      [this, device, completion = std::move(completion)](Result<Json> reply) mutable {
        if (!reply) {
          unplug(device);
          return completion(refusal(std::move(reply.error())));
        }
        {
          const std::lock_guard lock(plugged_->mutex);
          devices_.push_back(device);
        }
        completion({});
      },
      *std::move(image));
}

void USBControllerProxy::detach(std::shared_ptr<USBDevice> device, Completion<> completion) {
  {
    const std::lock_guard lock(plugged_->mutex);
    if (std::ranges::find(devices_, device) == devices_.end()) {
      return requests_.refuse(std::move(completion),
                              {kUSBDeviceNotFound, "device", "is not plugged into this controller", ""});
    }
  }
  requests_.request_for_device(
      {{"request", "detach_usb"}, {"controller", index_}, {"uuid", device->uuid().string()}},
      [this, device, completion = std::move(completion)](Result<Json> reply) mutable {
        if (!reply) return completion(std::unexpected(std::move(reply.error())));
        unplug(device);
        completion({});
      });
}

void USBControllerProxy::change_medium(std::shared_ptr<USBMassStorageDevice> device,
                                       std::optional<StorageDeviceAttachment> medium,
                                       Completion<> completion) {
  const auto refuse = [&](Error error) { requests_.refuse(std::move(completion), std::move(error)); };
  {
    const std::lock_guard lock(plugged_->mutex);
    if (std::ranges::find(devices_, device) == devices_.end())
      return refuse({kUSBDeviceNotFound, "device", "is not plugged into this controller", ""});
  }
  if (!device->configuration().optical_disc) {
    return refuse({kUSBDeviceInitializationFailure, "device", "is no drive with a disc",
                   "detach it, and attach another disk"});
  }
  Json request = {
      {"request", "change_usb_medium"}, {"controller", index_}, {"uuid", device->uuid().string()}};
  std::vector<UniqueFd> image;
  if (medium) {
    USBMassStorageDeviceConfiguration configuration = device->configuration();
    configuration.attachment = *medium;
    auto opened = open_image(configuration);
    if (!opened) return refuse(std::move(opened.error()));
    image = *std::move(opened);
    request["device"] = config::to_tree(USBDeviceConfiguration(configuration));
  }
  requests_.request_for_device(
      std::move(request),
      [device, medium = std::move(medium), completion = std::move(completion)](Result<Json> reply) mutable {
        if (!reply) return completion(refusal(std::move(reply.error())));
        device->set_medium(std::move(medium));
        completion({});
      },
      std::move(image));
}

}  // namespace alcove::client

namespace alcove {

std::optional<StorageDeviceAttachment> USBMassStorageDevice::medium() const {
  const std::lock_guard lock(mutex_);
  return medium_;
}

void USBMassStorageDevice::set_medium(std::optional<StorageDeviceAttachment> medium) {
  const std::lock_guard lock(mutex_);
  medium_ = std::move(medium);
}

}  // namespace alcove
