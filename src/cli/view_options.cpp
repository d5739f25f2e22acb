#include "cli/view_options.h"

#include <fmt/format.h>

#include <limits>

#include "cli/machine_options.h"

namespace alcove::cli {

namespace {

std::unexpected<Error> wrong(std::string what, std::string hint) {
  return fail(ErrorCode::invalid_virtual_machine_configuration, "--view", std::move(what), std::move(hint));
}

// What is no number is larger than any that is allowed.
unsigned long number(const std::string& text) {
  return whole_number(text).empty() ? std::stoul(text) : std::numeric_limits<unsigned long>::max();
}

Result<> apply(const std::string& key, const std::string& value, RemoteViewOptions& options) {
  constexpr unsigned long kMostPort = 65535;
  if (key != "port" || number(value) > kMostPort)
    return wrong(fmt::format("'{}' is not an option of this view", key), "use port=N or display=N");
  options.port = static_cast<uint16_t>(number(value));
  return {};
}

Result<> apply(const std::string& key, const std::string& value, WindowViewOptions& options) {
  if (key != "system-keys" || !value.empty())
    return wrong(fmt::format("'{}' is not an option of a window", key), "use system-keys or display=N");
  options.captures_system_keys = true;
  return {};
}

template <class Options>
Result<ViewOptions> parse_options(std::string rest, Options options) {
  constexpr unsigned long kMostDisplay = 255;
  while (!rest.empty()) {
    const std::string part = rest.substr(0, rest.find(','));
    rest.erase(0, part.size() + 1);
    const size_t equals = part.find('=');
    const std::string key = part.substr(0, equals),
                      value = equals == std::string::npos ? "" : part.substr(equals + 1);
    if (key == "display" && number(value) <= kMostDisplay) {
      options.display = number(value);
    } else if (auto applied = apply(key, value, options); !applied) {
      return std::unexpected(std::move(applied.error()));
    }
  }
  return options;
}

}  // namespace

Result<ViewOptions> parse_view(const std::string& text) {
  const size_t comma = text.find(',');
  const std::string kind = text.substr(0, comma),
                    rest = comma == std::string::npos ? "" : text.substr(comma + 1);
  if (kind == "web") return parse_options(rest, RemoteViewOptions{.protocol = RemoteViewProtocol::web});
  if (kind == "vnc") return parse_options(rest, RemoteViewOptions{.protocol = RemoteViewProtocol::vnc});
  if (kind == "window") return parse_options(rest, WindowViewOptions{});
  if (text == "none") return std::monostate{};
  return wrong(fmt::format("'{}' is not a kind of view", kind), "use window, web, vnc or none");
}

void prepare_for_view(VirtualMachineConfiguration& configuration, const ViewOptions& view) {
  if (std::holds_alternative<std::monostate>(view)) return;
  if (configuration.graphics_devices.empty())
    configuration.graphics_devices = {VirtioGraphicsDeviceConfiguration{}};
  if (configuration.keyboards.empty()) configuration.keyboards = {VirtioKeyboardConfiguration{}};
  if (!configuration.pointing_devices.empty()) return;
  configuration.pointing_devices = {VirtioScreenCoordinatePointingDeviceConfiguration{}};
  if (std::holds_alternative<WindowViewOptions>(view))
    configuration.pointing_devices.emplace_back(VirtioTrackpadConfiguration{});
}

}  // namespace alcove::cli
