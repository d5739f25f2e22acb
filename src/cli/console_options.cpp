// What --clipboard and --port take.
#include <fmt/format.h>

#include <algorithm>

#include "cli/machine_options.h"

namespace alcove::cli {

namespace {

// The console device that options add ports to: the first.
VirtioConsoleDeviceConfiguration& console_of(VirtualMachineConfiguration& configuration) {
  if (configuration.console_devices.empty()) configuration.console_devices.emplace_back();
  return std::get<VirtioConsoleDeviceConfiguration>(configuration.console_devices.front());
}

// Port 0 is left to guests' drivers: some take it for a console whatever it says of itself.
uint32_t next_number(const VirtioConsoleDeviceConfiguration& console) {
  uint32_t next = 1;
  for (const auto& port : console.ports) next = std::max(next, port.number + 1);
  return next;
}

bool is_agents(const VirtioConsolePortConfiguration& port) {
  return port.attachment && std::holds_alternative<SpiceAgentPortAttachment>(*port.attachment);
}

}  // namespace

Result<> set_clipboard(const std::string& mode, VirtualMachineConfiguration& configuration) {
  const bool to_guest = mode == "both" || mode == "to-guest";
  const bool from_guest = mode == "both" || mode == "from-guest";
  if (!to_guest && !from_guest && mode != "off")
    return fail(ErrorCode::invalid_virtual_machine_configuration, "--clipboard",
                fmt::format("'{}' is no direction", mode), "use both, to-guest, from-guest or off");
  for (auto& device : configuration.console_devices)
    std::erase_if(std::get<VirtioConsoleDeviceConfiguration>(device).ports, is_agents);
  std::erase_if(configuration.console_devices, [](const auto& device) {
    return std::get<VirtioConsoleDeviceConfiguration>(device).ports.empty();
  });
  if (mode == "off") return {};
  auto& console = console_of(configuration);
  console.ports.push_back({.number = next_number(console),
                           .name = std::string(SpiceAgentPortAttachment::port_name()),
                           .attachment = SpiceAgentPortAttachment{.clipboard_to_guest = to_guest,
                                                                  .clipboard_from_guest = from_guest}});
  return {};
}

Result<> add_port(const std::string& text, VirtualMachineConfiguration& configuration) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
    return fail(ErrorCode::invalid_virtual_machine_configuration, "--port",
                fmt::format("'{}' is no name and place", text), "give NAME=pty or NAME=FILE");
  const std::string place = text.substr(equals + 1);
  VirtioConsolePortConfiguration port{.name = text.substr(0, equals)};
  if (place == "pty") {
    port.attachment = PseudoTerminalSerialPortAttachment{};
  } else {
    port.attachment = FileSerialPortAttachment{.path = place};
  }
  auto& console = console_of(configuration);
  // Said again, it takes the place of what was said before.
  std::erase_if(console.ports,
                [&](const auto& other) { return other.name == port.name && !is_agents(other); });
  port.number = next_number(console);
  console.ports.push_back(std::move(port));
  return {};
}

}  // namespace alcove::cli
