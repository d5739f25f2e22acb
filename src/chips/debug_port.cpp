#include "chips/debug_port.h"

#include <unistd.h>

namespace alcove::chips {

namespace {

constexpr std::byte kPresent{0xe9};  // By which firmware finds the port.

}  // namespace

bus::Access DebugPort::read(uint64_t, std::span<std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  data[0] = kPresent;
  return bus::Access::done;
}

bus::Access DebugPort::write(uint64_t, std::span<const std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  if (::write(log_.get(), data.data(), 1) < 0) return bus::Access::done;
  return bus::Access::done;
}

}  // namespace alcove::chips
