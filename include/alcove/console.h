// Virtio consoles with several ports: consoles, byte streams by name, and the SPICE agent's port, by which
// host and guest share a clipboard.
#pragma once

#include <alcove/serial_port.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace alcove {

// Serves the SPICE agent of the guest (spice-vdagent, as distributions and guest tools have it): what is
// copied here can be pasted there. VirtualMachine::clipboard() is the host's end; views connect it with the
// clipboard of their desktop.
struct SpiceAgentPortAttachment {
  // What is shared from the start; Clipboard::set_sharing() changes it.
  bool clipboard_to_guest = true;
  bool clipboard_from_guest = true;

  // The name that the port must have for an agent to find it: "com.redhat.spice.0".
  static std::string_view port_name();

  bool operator==(const SpiceAgentPortAttachment&) const = default;
};

using ConsolePortAttachment = std::variant<FileHandleSerialPortAttachment, FileSerialPortAttachment,
                                           PseudoTerminalSerialPortAttachment, SpiceAgentPortAttachment>;

struct VirtioConsolePortConfiguration {
  uint32_t number = 0;  // Below the device's maximum_port_count, and each once.
  // Linux guests have /dev/virtio-ports/NAME for it: up to 128 bytes without '/' and control characters. None
  // where it is empty.
  std::string name;
  bool is_console = false;  // One to log in at: /dev/hvc0… in Linux guests.
  // None: what the guest writes is dropped. Else it waits, and the guest's program with it, until it is
  // taken; but a console's, and port 0's, is dropped after half a second: kernels do nothing meanwhile. What
  // is written to a disk that is full, or to a pseudo terminal that nobody has open, may be lost, too.
  std::optional<ConsolePortAttachment> attachment;

  bool operator==(const VirtioConsolePortConfiguration&) const = default;
};

struct VirtioConsoleDeviceConfiguration {
  std::vector<VirtioConsolePortConfiguration> ports;  // At least one.
  // Up to 31; 0: as many as the highest number needs.
  uint32_t maximum_port_count = 0;

  bool operator==(const VirtioConsoleDeviceConfiguration&) const = default;
};

using ConsoleDeviceConfiguration = std::variant<VirtioConsoleDeviceConfiguration>;

}  // namespace alcove
