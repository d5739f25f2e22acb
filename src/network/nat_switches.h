#pragma once

#include <alcove/network.h>

#include <vector>

#include "network/nat_addresses.h"
#include "network/packet.h"

namespace alcove::network {

// What a guest does not get of NAT, where that is not all. Of these libslirp has a switch for DHCP alone.
class NatSwitches {
 public:
  NatSwitches(const PrivateNetwork& wishes, const NatAddresses& addresses);

  // Whether the guest may send this.
  bool admits(const Packet& packet) const;
  // Whether the guest is to get this. Where it is to be told less, that is in `changed`.
  bool passes(Bytes frame, std::vector<std::byte>& changed) const;

 private:
  bool admits_ipv4(const Packet& packet) const;
  bool admits_ipv6(const Packet& packet) const;
  bool is_silent_about(uint8_t dhcp_option) const;
  void change_lease(Bytes frame, const Packet& packet, std::vector<std::byte>& changed) const;
  void change_advertisement(Bytes frame, const Packet& packet, std::vector<std::byte>& changed) const;

  const PrivateNetwork wishes_;
  const NatAddresses addresses_;
  const bool asks_others_;  // The name server.
  const bool tells_names_;  // It has any.
};

}  // namespace alcove::network
