// The options of a DHCP message (RFC 2132, section 2).
#pragma once

#include <cstddef>
#include <cstdint>

#include "network/packet.h"
#include "spec/internet.h"

namespace alcove::network {

struct DhcpOption {
  uint8_t code = 0;
  size_t at = 0;  // Its value, from the message's beginning; all of it is there.
  size_t length = 0;
};

// Calls `see` with each, until one is cut off.
template <class See>
void for_each_dhcp_option(Bytes message, See see) {
  namespace wire = spec::internet;
  for (size_t at = wire::kDhcpOptions; at < message.size();) {
    const uint8_t code = load8(message, at++);
    if (code == wire::kDhcpOptionPad) continue;
    if (code == wire::kDhcpOptionEnd || at == message.size()) return;
    const size_t length = load8(message, at++);
    if (length > message.size() - at) return;
    see(DhcpOption{.code = code, .at = at, .length = length});
    at += length;
  }
}

}  // namespace alcove::network
