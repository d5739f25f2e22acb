// USB: controllers, and devices that are plugged in and pulled out while the machine runs.
#pragma once

#include <alcove/error.h>
#include <alcove/storage.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <variant>
#include <vector>

namespace alcove {

namespace client {
class USBControllerProxy;
}

// Further values of Error::code, of calls in this file.
inline constexpr ErrorCode kUSBControllerNotFound{30001};
inline constexpr ErrorCode kUSBDeviceAlreadyAttached{30002};
inline constexpr ErrorCode kUSBDeviceInitializationFailure{30003};  // Also: no port is free.
inline constexpr ErrorCode kUSBDeviceNotFound{30004};

using USBDeviceConfiguration = std::variant<USBMassStorageDeviceConfiguration>;

// An xHCI controller with eight SuperSpeed ports and eight high-speed ports.
struct XHCIControllerConfiguration {
  std::vector<USBDeviceConfiguration> usb_devices;  // Plugged in when the machine starts.

  bool operator==(const XHCIControllerConfiguration&) const = default;
};

using USBControllerConfiguration = std::variant<XHCIControllerConfiguration>;

class USBController;

// A device that can be plugged into a controller of a machine, and is plugged into at most one.
class USBDevice {
 public:
  virtual ~USBDevice() = default;
  USBDevice(const USBDevice&) = delete;
  USBDevice& operator=(const USBDevice&) = delete;

  const UUID& uuid() const { return uuid_; }
  // Where it is plugged in, or is just being; null otherwise. Any thread.
  USBController* usb_controller() const { return controller_; }

 protected:
  explicit USBDevice(const UUID& uuid) : uuid_(uuid) {}

 private:
  friend class client::USBControllerProxy;
  const UUID uuid_;
  std::atomic<USBController*> controller_ = nullptr;
};

class USBMassStorageDevice final : public USBDevice {
 public:
  // Opens nothing: attach() does.
  explicit USBMassStorageDevice(USBMassStorageDeviceConfiguration configuration)
      : USBDevice(configuration.uuid),
        configuration_(std::move(configuration)),
        medium_(configuration_.attachment) {}
  const USBMassStorageDeviceConfiguration& configuration() const { return configuration_; }
  // The disc in the drive, or the disk: the configuration's until change_medium(). Any thread.
  std::optional<StorageDeviceAttachment> medium() const;

 private:
  friend class client::USBControllerProxy;
  void set_medium(std::optional<StorageDeviceAttachment> medium);
  const USBMassStorageDeviceConfiguration configuration_;
  mutable std::mutex mutex_;  // Guards medium_.
  std::optional<StorageDeviceAttachment> medium_;
};

// The live counterpart of a configured controller, see devices.h. Devices that were attached at run time are
// gone after the machine's end; those of the configuration are back at its next start.
class USBController {
 public:
  virtual ~USBController() = default;

  virtual std::vector<std::shared_ptr<USBDevice>> usb_devices() const = 0;
  // Opens and locks the device's file and plugs it in. Fails with kUSBDeviceAlreadyAttached if it, or one
  // with its uuid, is plugged in anywhere in this machine, and with kUSBDeviceInitializationFailure, whose
  // cause `what` tells, if it can't be made.
  virtual void attach(std::shared_ptr<USBDevice> device,
                      std::move_only_function<void(Result<>)> completion) = 0;
  // Pulls it out, whatever the guest does with it: have it unmounted before. After success the file is
  // closed. Fails with kUSBDeviceNotFound if it is not plugged in here.
  virtual void detach(std::shared_ptr<USBDevice> device,
                      std::move_only_function<void(Result<>)> completion) = 0;
  // Puts another disc into a drive (`optical_disc`) that is plugged in here, or takes it out (nothing),
  // whatever the guest does with it, and even if it has locked the drive; it is told. After success the
  // former file is closed. Fails as attach() does; what is in the drive stays there then.
  virtual void change_medium(std::shared_ptr<USBMassStorageDevice> device,
                             std::optional<StorageDeviceAttachment> medium,
                             std::move_only_function<void(Result<>)> completion) = 0;
};

}  // namespace alcove
