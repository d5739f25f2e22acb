// The configured network devices: what their cables are plugged into, and control of that at run time.
#pragma once

#include <alcove/network.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "exec/event_loop.h"
#include "machine/descriptors.h"
#include "machine/machine.h"
#include "virtio/device.h"

namespace alcove::machine {

// Devices that make_device() made are not to live longer.
class Networks {
 public:
  Networks();
  ~Networks();

  // The next device; its cable plugged in. `loop` and `observer` outlive this.
  Result<std::unique_ptr<virtio::Device>> make_device(const VirtioNetworkDeviceConfiguration& configuration,
                                                      Descriptors& descriptors, exec::EventLoop& loop,
                                                      MachineObserver& observer);
  // Nothing: the cable is pulled. Fields of errors begin with "attachment". Any thread.
  Result<> attach(size_t device, const std::optional<NetworkDeviceAttachment>& attachment,
                  Descriptors descriptors);

  NetworkControl& control(size_t device);

 private:
  class Cable;
  std::vector<std::unique_ptr<Cable>> cables_;
};

}  // namespace alcove::machine
