#include "cli/output.h"

#include <fmt/format.h>

#include <cstdio>

namespace alcove::cli {

int report(const Error& error) {
  fmt::print(stderr, "alcove: {}{}{}\n", error.where, error.where.empty() ? "" : ": ", error.what);
  if (!error.hint.empty()) fmt::print(stderr, "        {}\n", error.hint);
  return 1;
}

Result<std::string> take_screenshot(VirtualMachine& machine, size_t display) {
  for (const GraphicsDevice* device : machine.graphics_devices()) {
    if (display < device->displays().size()) {
      const auto frame = device->displays()[display]->frame();
      return frame ? frame->to_png() : std::unexpected(frame.error());
    }
    display -= device->displays().size();
  }
  return fail(ErrorCode::not_supported, "graphics_devices", "the machine has no such display",
              "give it one with --size WIDTHxHEIGHT");
}

nlohmann::json to_json(const Error& error) {
  return {{"code", to_string(error.code)},
          {"number", static_cast<int>(error.code)},
          {"where", error.where},
          {"what", error.what},
          {"hint", error.hint}};
}

Error error_from_json(const nlohmann::json& json) {
  const auto text = [&](const char* key, const char* otherwise) -> std::string {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : otherwise;
  };
  const auto number = json.find("number");
  const bool has_code = number != json.end() && number->is_number_integer();
  return {has_code ? static_cast<ErrorCode>(number->get<int>()) : ErrorCode::internal, text("where", ""),
          text("what", "it failed"), text("hint", "")};
}

namespace {

std::string source_of(const StorageDeviceAttachment& attachment) {
  if (const auto* image = std::get_if<DiskImageStorageDeviceAttachment>(&attachment))
    return image->path.string();
  if (const auto* network = std::get_if<NetworkBlockDeviceStorageDeviceAttachment>(&attachment))
    return network->url;
  return fmt::format("file descriptor {}",
                     std::get<DiskBlockDeviceStorageDeviceAttachment>(attachment).file_handle);
}

bool is_read_only(const StorageDeviceAttachment& attachment) {
  if (const auto* network = std::get_if<NetworkBlockDeviceStorageDeviceAttachment>(&attachment))
    return network->forced_read_only;
  if (const auto* device = std::get_if<DiskBlockDeviceStorageDeviceAttachment>(&attachment))
    return device->read_only;
  return std::get<DiskImageStorageDeviceAttachment>(attachment).read_only;
}

}  // namespace

std::string storage_source(const StorageDeviceConfiguration& device) {
  return std::visit([](const auto& kind) { return source_of(kind.attachment); }, device);
}

nlohmann::json describe(VirtualMachine& machine) {
  nlohmann::json networks = nlohmann::json::array();
  for (const NetworkDevice* device : machine.network_devices()) {
    nlohmann::json forwards = nlohmann::json::array();
    for (const PortForward& forward : device->port_forwards())
      forwards.push_back(format_port_forward(forward));
    const auto attachment = device->attachment();
    networks.push_back({{"mac_address", device->mac_address().string()},
                        {"attachment", attachment ? nlohmann::json(describe(*attachment)) : nlohmann::json()},
                        {"addresses", device->addresses()},
                        {"port_forwards", forwards}});
  }
  nlohmann::json usb_devices = nlohmann::json::array();
  for (const USBController* controller : machine.usb_controllers()) {
    for (const auto& device : controller->usb_devices()) {
      const auto* storage = dynamic_cast<const USBMassStorageDevice*>(device.get());
      if (!storage) continue;
      const auto medium = storage->medium();
      usb_devices.push_back({{"uuid", device->uuid().string()},
                             {"type", storage->configuration().optical_disc ? "cdrom" : "disk"},
                             {"path", medium ? source_of(*medium) : ""},
                             {"read_only", medium && is_read_only(*medium)}});
    }
  }
  nlohmann::json ports = nlohmann::json::array();
  for (const ConsoleDevice* device : machine.console_devices()) {
    for (const ConsolePort* port : device->ports())
      ports.push_back({{"name", port->configuration().name},
                       {"open", port->is_open()},
                       {"pseudo_terminal", port->pseudo_terminal_path()}});
  }
  return {{"state", to_string(machine.state())},
          {"ready", machine.guest_is_ready()},
          {"hypervisor", machine.hypervisor()},
          {"process_id", machine.process_id()},
          {"resident_memory_size", machine.resident_memory_size()},
          {"network_devices", networks},
          {"console_ports", ports},
          {"usb_devices", usb_devices}};
}

std::string description_text(const nlohmann::json& machine) {
  std::string text = machine.value("ready", false) ? "ready      yes, as the guest says\n" : "";
  text += fmt::format("hypervisor {}\nprocess    {}\nresident   {} MiB\n",
                      machine["hypervisor"].get<std::string>(), machine["process_id"].get<int>(),
                      machine["resident_memory_size"].get<uint64_t>() >> 20);
  for (const auto& device : machine["network_devices"]) {
    text += fmt::format("network    {}", device["mac_address"].get<std::string>());
    const auto attachment = device.find("attachment");
    if (attachment != device.end() && attachment->is_string()) text += "  " + attachment->get<std::string>();
    if (attachment != device.end() && attachment->is_null()) text += "  unplugged";
    if (device.contains("error")) text += ": " + error_from_json(device["error"]).what;
    for (const auto& address : device["addresses"]) text += "  " + address.get<std::string>();
    for (const auto& forward : device["port_forwards"]) text += "  " + forward.get<std::string>();
    text += '\n';
  }
  for (const auto& port : machine.value("console_ports", nlohmann::json::array())) {
    const auto terminal = port["pseudo_terminal"].get<std::string>();
    text += fmt::format("port       {}{}{}{}\n", port["name"].get<std::string>(),
                        terminal.empty() ? "" : "  ", terminal, port["open"].get<bool>() ? "  open" : "");
  }
  return text;
}

}  // namespace alcove::cli
