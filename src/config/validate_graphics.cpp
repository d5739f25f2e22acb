#include <fmt/format.h>

#include "config/scanout_limits.h"
#include "config/validate.h"

namespace alcove::config {

void validate_graphics(const VirtualMachineConfiguration& configuration, Problems& problems) {
  const auto& devices = configuration.graphics_devices;
  if (devices.size() > 1) {
    problems.add("graphics_devices", fmt::format("there are {}", devices.size()),
                 "a machine has at most one; it may have several scanouts");
  }
  for (size_t index = 0; index < devices.size(); ++index) {
    const auto& scanouts = std::get<VirtioGraphicsDeviceConfiguration>(devices[index]).scanouts;
    const std::string where = fmt::format("graphics_devices[{}].scanouts", index);
    if (scanouts.empty() || scanouts.size() > kMostScanouts) {
      problems.add(where, fmt::format("there are {}", scanouts.size()),
                   fmt::format("1 to {}", kMostScanouts));
    }
    for (size_t scanout = 0; scanout < scanouts.size(); ++scanout) {
      if (auto problem = check_scanout(scanouts[scanout], fmt::format("{}[{}]", where, scanout)))
        problems.add(problem->where, problem->what, problem->hint);
    }
  }
}

std::optional<Error> check_scanout(const VirtioGraphicsScanoutConfiguration& scanout,
                                   const std::string& where) {
  const auto problem = [&](std::string_view field, uint32_t value, uint32_t least, uint32_t most) {
    return Error{ErrorCode::invalid_virtual_machine_configuration,
                 where + (where.empty() ? "" : ".") + std::string(field),
                 fmt::format("a display can't have {}", value), fmt::format("{} to {}", least, most)};
  };
  for (const auto& [field, value] :
       {std::pair("width", scanout.width), std::pair("height", scanout.height)}) {
    if (value < kLeastScanoutExtent || value > kMostScanoutExtent)
      return problem(field, value, kLeastScanoutExtent, kMostScanoutExtent);
  }
  if (scanout.pixels_per_inch < kLeastPixelsPerInch || scanout.pixels_per_inch > kMostPixelsPerInch)
    return problem("pixels_per_inch", scanout.pixels_per_inch, kLeastPixelsPerInch, kMostPixelsPerInch);
  return std::nullopt;
}

}  // namespace alcove::config
