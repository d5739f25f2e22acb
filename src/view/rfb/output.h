// Appends numbers as the protocol has them.
#pragma once

#include <cstdint>
#include <string>

namespace alcove::view::rfb {

inline void put8(std::string& out, uint8_t value) {
  out += static_cast<char>(value);
}
inline void put16(std::string& out, uint16_t value) {
  put8(out, static_cast<uint8_t>(value >> 8));
  put8(out, static_cast<uint8_t>(value));
}
inline void put32(std::string& out, uint32_t value) {
  put16(out, static_cast<uint16_t>(value >> 16));
  put16(out, static_cast<uint16_t>(value));
}

}  // namespace alcove::view::rfb
