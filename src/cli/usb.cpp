// The commands that change what is plugged into a running machine.
#include <fmt/format.h>

#include <filesystem>

#include "cli/commands.h"
#include "cli/control.h"
#include "cli/output.h"

namespace alcove::cli {

namespace {

Result<nlohmann::json> request(const Bundle& bundle, const nlohmann::json& message) {
  auto socket = bundle.connect();
  if (!socket) return std::unexpected(socket.error());
  std::string rest;
  return ask(socket->get(), message, rest);
}

}  // namespace

int usb_attach(const Bundle& bundle, const std::string& device) {
  // The machine's background process is in another folder.
  const size_t end = std::min(device.find(','), device.size());
  const auto path = std::filesystem::absolute(device.substr(0, end)).string();
  if (auto parsed = parse_usb_disk("FILE", device); !parsed) return report(parsed.error());
  auto reply = request(bundle, {{"command", "attach_usb"}, {"device", path + device.substr(end)}});
  return reply ? 0 : report(reply.error());
}

int usb_detach(const Bundle& bundle, const std::string& id) {
  auto reply = request(bundle, {{"command", "detach_usb"}, {"id", id}});
  return reply ? 0 : report(reply.error());
}

int usb_list(const Bundle& bundle, bool json) {
  auto reply = request(bundle, {{"command", "info"}});
  if (!reply) return report(reply.error());
  const auto devices = reply->value("usb_devices", nlohmann::json::array());
  if (json) {
    fmt::print("{}\n", devices.dump(2));
    return 0;
  }
  for (const auto& device : devices) {
    fmt::print("{}  {:<5}  {}{}\n", device.value("uuid", ""), device.value("type", ""),
               device.value("path", ""), device.value("read_only", false) ? " (read only)" : "");
  }
  return 0;
}

}  // namespace alcove::cli
