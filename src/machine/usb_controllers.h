// The machine's USB controllers, and what is plugged into them.
#pragma once

#include <alcove/devices.h>
#include <alcove/usb.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "support/unique_fd.h"
#include "usb/xhci.h"

namespace alcove::machine {

class UsbControllers {
 public:
  // Controllers come before all else that is done with them.
  usb::Xhci& add(memory::GuestMemory& memory, bus::MessageSink& messages);
  size_t count() const { return controllers_.size(); }
  usb::Xhci& controller(size_t index) { return *controllers_[index]; }

  // Before the machine runs, or while; gives the number of its port, from 1. `field` names the attachment in
  // errors. Any thread.
  Result<unsigned> attach(size_t controller, const USBMassStorageDeviceConfiguration& device,
                          std::vector<UniqueFd> image, const std::string& field);
  // `completion` is called once, on any thread, when the image is closed. Any thread.
  void detach(size_t controller, const UUID& uuid, Completion<> completion);

  // Into the first controller, to stay there. Before the machine runs.
  Result<> plug(std::shared_ptr<usb::Device> device, const std::string& field);

  void pause();
  void resume();

 private:
  struct Plugged {
    size_t controller;
    unsigned port;
  };
  std::mutex mutex_;  // Guards plugged_.
  std::map<UUID, Plugged> plugged_;
  std::vector<std::unique_ptr<usb::Xhci>> controllers_;
};

}  // namespace alcove::machine
