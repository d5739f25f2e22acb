#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "config/validate.h"

namespace alcove::config {
namespace {

constexpr size_t kMostControllers = 4;
constexpr size_t kPorts = 8;  // Of each speed.

// Keyboards and pointing devices are high-speed devices of the first controller.
void check_input(const VirtualMachineConfiguration& configuration, Problems& problems) {
  const auto keyboards = std::ranges::count_if(configuration.keyboards, [](const auto& keyboard) {
    return std::holds_alternative<USBKeyboardConfiguration>(keyboard);
  });
  const auto pointers = std::ranges::count_if(configuration.pointing_devices, [](const auto& pointer) {
    return std::holds_alternative<USBScreenCoordinatePointingDeviceConfiguration>(pointer);
  });
  const auto count = static_cast<size_t>(keyboards + pointers);
  if (count <= kPorts) return;
  problems.add("keyboards", fmt::format("{} keyboards and pointing devices are USB devices", count),
               fmt::format("there are ports for {}", kPorts));
}

}  // namespace

void validate_usb(const VirtualMachineConfiguration& configuration, Problems& problems) {
  if (configuration.usb_controllers.size() > kMostControllers) {
    problems.add("usb_controllers", fmt::format("there are {}", configuration.usb_controllers.size()),
                 fmt::format("a machine has at most {}", kMostControllers));
  }
  check_input(configuration, problems);
  std::map<UUID, std::string> users;
  const auto check_uuid = [&](const UUID& uuid, const std::string& where) {
    const auto [other, is_first] = users.try_emplace(uuid, where);
    if (is_first) return;
    problems.add(where + ".uuid", fmt::format("{} is also that of {}", uuid.string(), other->second),
                 "give each device its own");
  };
  size_t on_first = 0;
  for (size_t index = 0; index < configuration.storage_devices.size(); ++index) {
    const auto* device =
        std::get_if<USBMassStorageDeviceConfiguration>(&configuration.storage_devices[index]);
    if (!device) continue;
    ++on_first;
    check_uuid(device->uuid, fmt::format("storage_devices[{}]", index));
  }
  if (configuration.usb_controllers.empty() && on_first > kPorts) {
    problems.add("storage_devices", fmt::format("{} of them are USB devices", on_first),
                 fmt::format("a controller has ports for {}; configure more controllers", kPorts));
  }
  for (size_t index = 0; index < configuration.usb_controllers.size(); ++index) {
    const std::string where = fmt::format("usb_controllers[{}].usb_devices", index);
    const auto& devices =
        std::get<XHCIControllerConfiguration>(configuration.usb_controllers[index]).usb_devices;
    for (size_t device = 0; device < devices.size(); ++device) {
      check_uuid(std::get<USBMassStorageDeviceConfiguration>(devices[device]).uuid,
                 fmt::format("{}[{}]", where, device));
    }
    const size_t count = devices.size() + (index == 0 ? on_first : 0);
    if (count > kPorts) {
      problems.add(where, fmt::format("{} devices are to be plugged in", count),
                   fmt::format("a controller has ports for {}", kPorts));
    }
  }
}

}  // namespace alcove::config
