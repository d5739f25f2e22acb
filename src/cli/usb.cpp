// The commands that change what is plugged into a running machine.
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/control.h"
#include "cli/output.h"

namespace alcove::cli {

namespace {

// FILE with options, its path so that the machine's background process finds it, which is in another folder.
Result<std::string> absolute_disk(const std::string& device) {
  const auto parsed = parse_usb_disk("FILE", device);
  if (!parsed) return std::unexpected(parsed.error());
  return with_absolute_paths(device);
}

int tell(const Result<nlohmann::json>& reply) {
  return reply ? 0 : report(reply.error());
}

}  // namespace

int usb_attach(const Bundle& bundle, const std::string& device) {
  const auto disk = absolute_disk(device);
  if (!disk) return report(disk.error());
  return tell(ask(bundle, {{"command", "attach_usb"}, {"device", *disk}}));
}

int usb_change(const Bundle& bundle, const std::string& id, const std::string& device) {
  nlohmann::json request = {{"command", "change_usb"}, {"id", id}};
  if (!device.empty()) {
    const auto disk = absolute_disk(device);
    if (!disk) return report(disk.error());
    request["device"] = *disk;
  }
  return tell(ask(bundle, request));
}

int usb_detach(const Bundle& bundle, const std::string& id) {
  return tell(ask(bundle, {{"command", "detach_usb"}, {"id", id}}));
}

int usb_list(const Bundle& bundle, bool json) {
  auto reply = ask(bundle, {{"command", "info"}});
  if (!reply) return report(reply.error());
  const auto devices = reply->value("usb_devices", nlohmann::json::array());
  if (json) {
    fmt::print("{}\n", devices.dump(2));
    return 0;
  }
  for (const auto& device : devices) {
    const std::string path = device.value("path", "");
    fmt::print("{}  {:<5}  {}{}\n", device.value("uuid", ""), device.value("type", ""),
               path.empty() ? "empty" : path,
               !path.empty() && device.value("read_only", false) ? " (read only)" : "");
  }
  return 0;
}

}  // namespace alcove::cli
