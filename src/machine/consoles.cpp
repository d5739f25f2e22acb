#include "machine/consoles.h"

#include <fmt/format.h>

#include <algorithm>

namespace alcove::machine {

namespace {

serial::Attachment take_attachment(Descriptors& descriptors, const std::string& field) {
  return {.reading = descriptors.take(field + ".reading"), .writing = descriptors.take(field + ".writing")};
}

// Guests wait with locks held for a console to take what they print. Programs that write to other ports just
// wait.
serial::PortOptions options_of(const VirtioConsolePortConfiguration& port) {
  serial::PortOptions options;
  // What drivers that know no ports have is the one of number 0, whatever it says of itself.
  if (!port.is_console && port.number != 0) options.patience.reset();
  return options;
}

}  // namespace

Result<std::unique_ptr<virtio::Device>> Consoles::make_device(
    const VirtioConsoleDeviceConfiguration& configuration, Descriptors& descriptors, exec::EventLoop& loop,
    Opened opened) {
  const size_t index = devices_.size();
  const std::string field = fmt::format("console_devices[{}]", index);
  if (configuration.ports.empty())
    return fail(ErrorCode::invalid_virtual_machine_configuration, field + ".ports", "there are none");
  Device device{};
  std::vector<devices::console::MultiportConsolePort> ports;
  std::vector<size_t> indices(devices::console::kMostPorts);  // By the guest's number.
  unsigned count = configuration.maximum_port_count;
  for (const VirtioConsolePortConfiguration& port : configuration.ports) {
    const std::string port_field = fmt::format("{}.ports[{}]", field, ports.size());
    if (port.number >= devices::console::kMostPorts)
      return fail(ErrorCode::invalid_virtual_machine_configuration, port_field + ".number", "is too large");
    auto log = LogRing::create();
    if (!log) return std::unexpected(std::move(log.error()));
    auto line = std::make_unique<serial::Port>(loop, *std::move(log), options_of(port));
    line->attach(take_attachment(descriptors, port_field + ".attachment"));
    indices[port.number] = ports.size();
    count = std::max(count, port.number + 1);
    ports.push_back(
        {.number = port.number,
         .port = line.get(),
         .name = port.name,
         .is_console = port.is_console,
         .is_attached_per_opening =
             port.attachment && std::holds_alternative<SpiceAgentPortAttachment>(*port.attachment)});
    device.ports.push_back({.number = port.number, .line = std::move(line)});
  }
  auto console = std::make_unique<devices::console::MultiportConsole>(
      std::move(ports), count,
      [index, indices = std::move(indices), opened = std::move(opened)](
          unsigned number, uint64_t openings, bool open) { opened(index, indices[number], openings, open); });
  device.console = console.get();
  devices_.push_back(std::move(device));
  return console;
}

Result<Consoles::Device*> Consoles::find(size_t device, size_t port) {
  if (device < devices_.size() && port < devices_[device].ports.size()) return &devices_[device];
  return fail(ErrorCode::invalid_virtual_machine_configuration,
              fmt::format("console_devices[{}].ports[{}]", device, port), "there is no such port");
}

Result<> Consoles::attach(size_t device, size_t port, Descriptors attachment,
                          std::optional<uint64_t> opening) {
  auto found = find(device, port);
  if (!found) return std::unexpected(std::move(found.error()));
  serial::Attachment attached = take_attachment(attachment, "attachment");
  if (opening) {
    (*found)->console->attach((*found)->ports[port].number, *opening, std::move(attached));
  } else {
    (*found)->ports[port].line->attach(std::move(attached));
  }
  return {};
}

Result<> Consoles::resize(size_t device, size_t port, uint16_t columns, uint16_t rows) {
  auto found = find(device, port);
  if (!found) return std::unexpected(std::move(found.error()));
  (*found)->console->resize((*found)->ports[port].number, columns, rows);
  return {};
}

}  // namespace alcove::machine
