#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::view::web {

inline constexpr uint32_t kMostHeaderBytes = 8192;
inline constexpr size_t kMostMessageBytes = 1 << 20;  // Of a WebSocket: RFB clients say little.

}  // namespace alcove::view::web
