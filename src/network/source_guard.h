#pragma once

#include <alcove/mac_address.h>

#include <array>
#include <optional>

#include "network/nat_addresses.h"
#include "network/packet.h"

namespace alcove::network {

using Ipv6Address = std::array<std::byte, 16>;

// Tells whether a guest's frames say truly where they come from, and are none by which a guest would pass for
// a router or a DHCP server.
class SourceGuard {
 public:
  // `addresses.guest` is the guest's.
  SourceGuard(MACAddress mac, const NatAddresses& addresses) : mac_(mac), addresses_(addresses) {}

  struct Verdict {
    bool honest = false;
    // Addresses of IPv6 that the guest thereby says are its own: any in the network's prefix and link-local
    // ones may be, but no other guest's.
    std::optional<Ipv6Address> source, target;
  };
  Verdict judge(Bytes frame) const;

 private:
  bool is_own_arp(Bytes arp) const;
  bool is_own_ipv4(Bytes ip) const;
  Verdict judge_ipv6(Bytes ip) const;
  bool may_have(Bytes ipv6) const;

  const MACAddress mac_;
  const NatAddresses addresses_;
};

}  // namespace alcove::network
