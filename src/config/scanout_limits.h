// What displays may be like.
#pragma once

#include <alcove/graphics.h>

#include <optional>
#include <string>

namespace alcove::config {

inline constexpr size_t kMostScanouts = 16;  // Virtio 1.2, section 5.7.6.8.
inline constexpr uint32_t kLeastScanoutExtent = 64;
inline constexpr uint32_t kMostScanoutExtent = 4095;  // What an EDID's detailed timing can say.
inline constexpr uint32_t kLeastPixelsPerInch = 20;
inline constexpr uint32_t kMostPixelsPerInch = 1000;

// What is wrong with it; `where` is its path.
std::optional<Error> check_scanout(const VirtioGraphicsScanoutConfiguration& scanout,
                                   const std::string& where);

}  // namespace alcove::config
