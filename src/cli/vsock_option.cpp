// What --vsock takes.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "cli/machine_options.h"

namespace alcove::cli {

namespace {

std::unexpected<Error> usage(std::string what, std::string hint) {
  return fail(ErrorCode::invalid_virtual_machine_configuration, "--vsock", std::move(what), std::move(hint));
}

std::optional<uint32_t> parse_number(std::string_view text) {
  uint32_t number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (status != std::errc() || end != text.data() + text.size() || text.empty()) return {};
  return number;
}

}  // namespace

Result<> add_vsock(const std::string& text, VirtualMachineConfiguration& configuration) {
  auto& devices = configuration.socket_devices;
  if (text == "none") {
    devices.clear();
    return {};
  }
  if (devices.empty()) devices.emplace_back(VirtioSocketDeviceConfiguration{});
  if (text == "on") return {};
  auto& device = std::get<VirtioSocketDeviceConfiguration>(devices.front());
  for (std::string_view rest = text; !rest.empty();) {
    const std::string part(rest.substr(0, rest.find(',')));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    const size_t equals = std::min(part.find('='), part.size());
    const std::string key = part.substr(0, equals);
    const std::string value = equals == part.size() ? "" : part.substr(equals + 1);
    const size_t colon = value.find(':');
    if (key == "cid" && parse_number(value)) {
      device.guest_cid = *parse_number(value);
    } else if ((key == "to-host" || key == "to-guest") && colon != std::string::npos) {
      const auto port = parse_number(std::string_view(value).substr(0, colon));
      if (!port) return usage(fmt::format("'{}' is no port", value.substr(0, colon)), "give a number");
      device.bridges.push_back(
          {.direction = key == "to-host" ? SocketBridgeDirection::to_host : SocketBridgeDirection::to_guest,
           .port = *port,
           .path = value.substr(colon + 1)});
    } else {
      return usage(fmt::format("'{}' is not an option of a socket device", part),
                   "use on, none, cid=N, to-host=PORT:SOCKET or to-guest=PORT:SOCKET");
    }
  }
  return {};
}

}  // namespace alcove::cli
