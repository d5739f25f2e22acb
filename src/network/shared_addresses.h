#pragma once

#include <alcove/mac_address.h>

#include <set>
#include <string>
#include <string_view>

#include "network/nat_addresses.h"
#include "network/packet.h"

namespace alcove::network {

// What all members of a shared network of this name have in common: one of 128 networks 10.128.0.0/16 to
// 10.255.0.0/16, one of 2^40 IPv6 networks (RFC 4193), and a domain. `guest` is 0, and there is no host name.
NatAddresses shared_addresses(const std::string& network_name);

// The member's with this MAC address, as long as no other has that; then the next. 0, if all are taken.
uint32_t member_address(const NatAddresses& network, MACAddress mac, const std::set<uint32_t>& taken);

// Whether a frame goes to what libslirp answers for: its addresses begin with 52:55 and 52:56.
bool is_to_host(Bytes frame);
inline bool is_to_group(Bytes frame) {
  return load8(frame, 0) & 1;
}

}  // namespace alcove::network
