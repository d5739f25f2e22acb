// The configured console devices' ports: their host side, and control of both at run time.
#pragma once

#include <alcove/console.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "devices/console/multiport_console.h"
#include "exec/event_loop.h"
#include "machine/descriptors.h"
#include "serial/port.h"

namespace alcove::machine {

// Devices that make_device() made are not to live longer.
class Consoles {
 public:
  // The guest opened or closed the port, by index in the configuration, which it has opened so often; on the
  // loop.
  using Opened = std::function<void(size_t device, size_t port, uint64_t openings, bool open)>;

  // The next device; its ports attached to their descriptors.
  Result<std::unique_ptr<virtio::Device>> make_device(const VirtioConsoleDeviceConfiguration& configuration,
                                                      Descriptors& descriptors, exec::EventLoop& loop,
                                                      Opened opened);
  // With `opening`: for as long as the guest has the port open for that time; nothing, if that is over.
  Result<> attach(size_t device, size_t port, Descriptors attachment, std::optional<uint64_t> opening = {});
  Result<> resize(size_t device, size_t port, uint16_t columns, uint16_t rows);

 private:
  struct Port {
    uint32_t number;
    std::unique_ptr<serial::Port> line;
  };
  struct Device {
    devices::console::MultiportConsole* console;
    std::vector<Port> ports;
  };
  Result<Device*> find(size_t device, size_t port);

  std::vector<Device> devices_;
};

}  // namespace alcove::machine
