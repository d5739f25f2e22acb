#include "client/usb_controller.h"

#include <fmt/format.h>

#include <algorithm>

#include "config/validate.h"

namespace alcove::client {

using control::Json;

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
  auto problems = config::validate_usb_device(configuration);
  Result<std::vector<UniqueFd>> image;
  if (problems.empty()) {
    if (const auto* file = std::get_if<DiskImageStorageDeviceAttachment>(&configuration.attachment))
      image = open_disk_image(*file, "attachment");
  } else {
    image = std::unexpected(std::move(problems.front()));
  }
  if (!image) {
    unplug(device);
    image.error().code = kUSBDeviceInitializationFailure;
    return requests_.refuse(std::move(completion), std::move(image.error()));
  }
  requests_.request_for_device(
      {{"request", "attach_usb"},
       {"controller", index_},
       {"device", config::to_tree(USBDeviceConfiguration(configuration))}},
      [this, device, completion = std::move(completion)](Result<Json> reply) mutable {
        if (!reply) {
          unplug(device);
          if (reply.error().code == ErrorCode::invalid_disk_image) {
            reply.error().code = kUSBDeviceInitializationFailure;
          }
          return completion(std::unexpected(std::move(reply.error())));
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

}  // namespace alcove::client
