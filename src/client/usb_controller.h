// A live USB controller: what is plugged into it, and requests to change that.
#pragma once

#include <alcove/usb.h>

#include <mutex>

#include "client/devices.h"

namespace alcove::client {

// What is plugged in anywhere in a machine: uuids are unique there.
struct PluggedDevices {
  std::mutex mutex;
  std::vector<UUID> uuids;
};

class USBControllerProxy final : public USBController {
 public:
  USBControllerProxy(DeviceRequests& requests, std::shared_ptr<PluggedDevices> plugged, size_t index,
                     const XHCIControllerConfiguration& configuration);
  ~USBControllerProxy() override;

  std::vector<std::shared_ptr<USBDevice>> usb_devices() const override;
  void attach(std::shared_ptr<USBDevice> device, Completion<> completion) override;
  void detach(std::shared_ptr<USBDevice> device, Completion<> completion) override;
  void change_medium(std::shared_ptr<USBMassStorageDevice> device,
                     std::optional<StorageDeviceAttachment> medium, Completion<> completion) override;

  // The machine's end: everything is pulled out, at all controllers before one is reset().
  void clear();
  // What is plugged in is what the configuration says.
  void reset();

 private:
  bool plug(const std::shared_ptr<USBDevice>& device);
  void unplug(const std::shared_ptr<USBDevice>& device);

  DeviceRequests& requests_;
  const std::shared_ptr<PluggedDevices> plugged_;
  const size_t index_;
  std::vector<std::shared_ptr<USBDevice>> configured_;
  std::vector<std::shared_ptr<USBDevice>> devices_;  // Guarded by plugged_->mutex.
};

}  // namespace alcove::client
