#include <fmt/format.h>

#include "config/validate.h"

namespace alcove::config {
namespace {

constexpr uint16_t kSmallestPad = 20, kLargestPad = 500;  // Millimetres.

void check_side(uint16_t length, const std::string& where, Problems& problems) {
  if (length >= kSmallestPad && length <= kLargestPad) return;
  problems.add(where, fmt::format("a trackpad can't have {} mm", length),
               fmt::format("{} to {}", kSmallestPad, kLargestPad));
}

}  // namespace

void validate_input(const VirtualMachineConfiguration& configuration, Problems& problems) {
  for (size_t index = 0; index < configuration.pointing_devices.size(); ++index) {
    const auto& device = configuration.pointing_devices[index];
    const std::string where = fmt::format("pointing_devices[{}]", index);
    if (const auto* pad = std::get_if<VirtioTrackpadConfiguration>(&device)) {
      check_side(pad->width, where + ".width", problems);
      check_side(pad->height, where + ".height", problems);
    }
  }
}

}  // namespace alcove::config
