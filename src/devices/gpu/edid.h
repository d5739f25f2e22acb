// The description of a monitor that a guest reads (VESA E-EDID 1.4).
#pragma once

#include <array>
#include <cstdint>

namespace alcove::devices::gpu {

// A monitor's native mode and density.
struct Mode {
  uint32_t width = 0;  // At most kMaximumEdidExtent, as all sizes below.
  uint32_t height = 0;
  uint32_t pixels_per_inch = 0;  // Not 0.

  bool operator==(const Mode&) const = default;
};

inline constexpr uint32_t kMaximumEdidExtent = 4095;  // Of a detailed timing descriptor.

using Edid = std::array<uint8_t, 128>;

// `serial` tells a machine's monitors apart.
Edid make_edid(const Mode& mode, uint32_t serial);

}  // namespace alcove::devices::gpu
