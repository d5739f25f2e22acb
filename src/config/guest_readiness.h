// How a guest tells that it is up: systemd 254 and later connect to this port of the host (systemd(1), the
// credential vmm.notify_socket), where the library listens.
#pragma once

#include <cstdint>

namespace alcove::config {

inline constexpr uint32_t kReadinessPort = 0xffff0000;

}  // namespace alcove::config
