#pragma once

#include "network/nat_addresses.h"
#include "network/packet.h"

namespace alcove::network {

// Whether a guest's packet is for somebody whom it may address by NAT at all. libslirp takes more addresses
// to the host's loopback than the host's own in the guest's network, and the host's kernel takes more; rules
// and switches would have to know them all. The packet is IPv4, IPv6 or neither.
bool is_nat_destination(const Packet& packet, const NatAddresses& addresses);

}  // namespace alcove::network
