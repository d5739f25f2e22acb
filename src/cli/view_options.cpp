#include "cli/view_options.h"

#include <fmt/format.h>

#include <limits>

#include "cli/machine_options.h"

namespace alcove::cli {

Result<std::optional<RemoteViewOptions>> parse_view(const std::string& text) {
  const auto wrong = [](std::string what, std::string hint) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, "--view", std::move(what), std::move(hint));
  };
  const size_t comma = text.find(',');
  const std::string kind = text.substr(0, comma);
  if (kind == "none" && comma == std::string::npos) return std::nullopt;
  if (kind != "web" && kind != "vnc")
    return wrong(fmt::format("'{}' is not a kind of view", kind), "use web, vnc or none");
  RemoteViewOptions options{.protocol = kind == "web" ? RemoteViewProtocol::web : RemoteViewProtocol::vnc};
  std::string rest = comma == std::string::npos ? "" : text.substr(comma + 1);
  while (!rest.empty()) {
    const std::string part = rest.substr(0, rest.find(','));
    rest.erase(0, part.size() + 1);
    const size_t equals = part.find('=');
    const std::string key = part.substr(0, equals),
                      value = equals == std::string::npos ? "" : part.substr(equals + 1);
    const unsigned long number =
        whole_number(value).empty() ? std::stoul(value) : std::numeric_limits<unsigned long>::max();
    if (key == "port" && number <= 65535) {
      options.port = static_cast<uint16_t>(number);
    } else if (key == "display" && number <= 255) {
      options.display = number;
    } else {
      return wrong(fmt::format("'{}' is not an option of a view", part), "use port=N or display=N");
    }
  }
  return options;
}

void prepare_for_view(VirtualMachineConfiguration& configuration) {
  if (configuration.graphics_devices.empty())
    configuration.graphics_devices = {VirtioGraphicsDeviceConfiguration{}};
  if (configuration.keyboards.empty()) configuration.keyboards = {VirtioKeyboardConfiguration{}};
  if (configuration.pointing_devices.empty())
    configuration.pointing_devices = {VirtioScreenCoordinatePointingDeviceConfiguration{}};
}

}  // namespace alcove::cli
