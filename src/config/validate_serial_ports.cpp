#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "config/validate.h"

namespace alcove {
namespace config {
namespace {

constexpr size_t kMostUarts = 4;            // COM1 to COM4.
constexpr uint32_t kMostConsolePorts = 31;  // What Linux's driver takes.

void check_handle(int handle, int forbidden_mode, std::string_view use, const std::string& where,
                  Problems& problems) {
  if (handle == -1) return;
  const int flags = ::fcntl(handle, F_GETFL);
  if (flags == -1) {
    problems.add(where, fmt::format("{} is not an open file descriptor", handle), "-1 means none");
  } else if ((flags & O_ACCMODE) == forbidden_mode) {
    problems.add(where, fmt::format("file descriptor {} is not open for {}", handle, use));
  }
}

void validate(const FileHandleSerialPortAttachment& attachment, const std::string& where,
              Problems& problems) {
  check_handle(attachment.reading, O_WRONLY, "reading", where + ".reading", problems);
  check_handle(attachment.writing, O_RDONLY, "writing", where + ".writing", problems);
}

void validate(const FileSerialPortAttachment& attachment, const std::string& where, Problems& problems) {
  check_writable_file(attachment.path, where + ".path", "the guest's output", problems);
}

void validate(const PseudoTerminalSerialPortAttachment&, const std::string&, Problems&) {}

void validate(const SpiceAgentPortAttachment&, const std::string&, Problems&) {}

void validate_port_name(const std::string& name, const std::string& where, Problems& problems) {
  constexpr size_t kMost = 128;
  const auto is_bad = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '/'; };
  if (name.size() > kMost) {
    problems.add(where, fmt::format("has {} bytes", name.size()), fmt::format("at most {}", kMost));
  } else if (std::ranges::any_of(name, is_bad)) {
    problems.add(where, "has a '/' or a control character", "guests use it as a file name");
  }
}

void validate_port(const VirtioConsolePortConfiguration& port, const std::string& where, Problems& problems) {
  validate_port_name(port.name, where + ".name", problems);
  if (!port.attachment) return;
  std::visit([&](const auto& backing) { validate(backing, where + ".attachment", problems); },
             *port.attachment);
  if (!std::holds_alternative<SpiceAgentPortAttachment>(*port.attachment)) return;
  if (port.name != SpiceAgentPortAttachment::port_name())
    problems.add(where + ".name", fmt::format("is \"{}\" at a SPICE agent's port", port.name),
                 fmt::format("agents look for \"{}\"", SpiceAgentPortAttachment::port_name()));
  if (port.is_console)
    problems.add(where + ".is_console", "is set at a SPICE agent's port", "the agent takes no console");
}

void validate_ports(const VirtioConsoleDeviceConfiguration& device, const std::string& where,
                    Problems& problems) {
  if (device.maximum_port_count > kMostConsolePorts)
    problems.add(where + ".maximum_port_count", fmt::format("is {}", device.maximum_port_count),
                 fmt::format("at most {}", kMostConsolePorts));
  if (device.ports.empty()) problems.add(where + ".ports", "there are none", "a console has at least one");
  const uint32_t limit = device.maximum_port_count ? device.maximum_port_count : kMostConsolePorts;
  for (size_t index = 0; index < device.ports.size(); ++index) {
    const VirtioConsolePortConfiguration& port = device.ports[index];
    const std::string port_where = fmt::format("{}.ports[{}]", where, index);
    validate_port(port, port_where, problems);
    if (port.number >= limit)
      problems.add(port_where + ".number", fmt::format("is {}", port.number),
                   fmt::format("at most {}", limit - 1));
    const auto is_the_same = [&](const auto& other) { return other.number == port.number; };
    if (std::ranges::count_if(std::span(device.ports).first(index), is_the_same) != 0)
      problems.add(port_where + ".number", fmt::format("{} is another port's, too", port.number),
                   "give each a number of its own");
  }
}

}  // namespace

void validate_serial_ports(const VirtualMachineConfiguration& configuration, Problems& problems) {
  const auto& ports = configuration.serial_ports;
  for (size_t index = 0; index < ports.size(); ++index) {
    const std::string where = fmt::format("serial_ports[{}].attachment", index);
    const auto& attachment =
        std::visit([](const auto& port) -> auto& { return port.attachment; }, ports[index]);
    if (attachment) {
      std::visit([&](const auto& backing) { validate(backing, where, problems); }, *attachment);
    }
  }
  const auto uarts = std::ranges::count_if(
      ports, [](const auto& port) { return std::holds_alternative<UART16550SerialPortConfiguration>(port); });
  if (static_cast<size_t>(uarts) > kMostUarts) {
    problems.add("serial_ports", fmt::format("there are {} UARTs", uarts),
                 fmt::format("a PC has at most {}; use virtio consoles for more", kMostUarts));
  }
}

std::vector<Error> validate_console_attachment(const ConsolePortAttachment& attachment) {
  Problems problems;
  std::visit([&](const auto& backing) { validate(backing, "attachment", problems); }, attachment);
  return problems.take();
}

void validate_consoles(const VirtualMachineConfiguration& configuration, Problems& problems) {
  const auto& devices = configuration.console_devices;
  size_t agents = 0;
  for (size_t index = 0; index < devices.size(); ++index) {
    const auto& device = std::get<VirtioConsoleDeviceConfiguration>(devices[index]);
    validate_ports(device, fmt::format("console_devices[{}]", index), problems);
    agents += static_cast<size_t>(std::ranges::count_if(device.ports, [](const auto& port) {
      return port.attachment && std::holds_alternative<SpiceAgentPortAttachment>(*port.attachment);
    }));
  }
  if (agents > 1)
    problems.add("console_devices", fmt::format("{} ports are for a SPICE agent", agents),
                 "a guest runs one: leave it one port");
}

}  // namespace config

std::string_view SpiceAgentPortAttachment::port_name() {
  return "com.redhat.spice.0";
}

}  // namespace alcove
