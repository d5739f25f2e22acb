// Reads numbers as the protocol has them, where there are enough bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace alcove::view::rfb {

inline uint16_t get16(std::span<const uint8_t> in, size_t at) {
  return static_cast<uint16_t>(in[at] << 8 | in[at + 1]);
}
inline uint32_t get32(std::span<const uint8_t> in, size_t at) {
  return static_cast<uint32_t>(get16(in, at)) << 16 | get16(in, at + 2);
}

}  // namespace alcove::view::rfb
