// The machine's USB controllers, and what is plugged into them.
#pragma once

#include <alcove/devices.h>
#include <alcove/usb.h>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "machine/disks.h"
#include "support/unique_fd.h"
#include "usb/xhci.h"

namespace alcove::devices::mass_storage {
class MassStorage;
}

namespace alcove::machine {

class UsbControllers {
 public:
  // Controllers come before all else that is done with them.
  usb::Xhci& add(memory::GuestMemory& memory, bus::MessageSink& messages);
  size_t count() const { return controllers_.size(); }
  usb::Xhci& controller(size_t index) { return *controllers_[index]; }

  // Before the machine runs, or while; gives the number of its port, from 1. `field` names the attachment in
  // errors. Any thread.
  struct Attached {
    unsigned port = 0;
    std::shared_ptr<storage::DiskControl> disk;
  };
  Result<Attached> attach(size_t controller, const USBMassStorageDeviceConfiguration& device,
                          std::vector<UniqueFd> image, const std::string& field,
                          const DiskEvents& events = {});
  // `completion` is called once, on any thread, when the image is closed. Any thread.
  void detach(size_t controller, const UUID& uuid, Completion<> completion);

  // Another disc for a drive, or none; `completion` is called once, on any thread, when the one before is
  // closed. Any thread.
  void change_medium(size_t controller, const UUID& uuid,
                     const std::optional<StorageDeviceAttachment>& medium, std::vector<UniqueFd> image,
                     Completion<> completion);

  // Into the first controller, to stay there. Before the machine runs.
  Result<> plug(std::shared_ptr<usb::Device> device, const std::string& field);

  void pause();
  void resume();
  // As of storage::Disk. Any thread.
  void abandon_disks();

 private:
  struct Plugged {
    size_t controller;
    unsigned port;
    std::shared_ptr<storage::DiskControl> disk;
    std::weak_ptr<devices::mass_storage::MassStorage> drive;  // Of discs only.
  };
  void set_rushing(bool rushing);
  std::mutex mutex_;  // Guards plugged_.
  std::map<UUID, Plugged> plugged_;
  std::vector<std::unique_ptr<usb::Xhci>> controllers_;
};

}  // namespace alcove::machine
