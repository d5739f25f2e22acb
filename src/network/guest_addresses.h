#pragma once

#include <alcove/mac_address.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "network/packet.h"

namespace alcove::network {

// The IP addresses that a guest uses, learned from its traffic: what DHCP gave it, and what it sends from
// with its own MAC address.
class GuestAddresses {
 public:
  explicit GuestAddresses(MACAddress mac) : mac_(mac) {}

  // Both return whether list() changed.
  bool see_from_guest(Bytes frame);
  bool see_to_guest(Bytes frame);

  // Those given by DHCP first, then other IPv4, IPv6, and link-local addresses last.
  std::vector<std::string> list() const;

 private:
  // A guest that sends from ever new addresses drives out those it used longest ago.
  static constexpr size_t kMaximum = 8;
  struct Address {
    bool ipv6 = false;
    std::array<std::byte, 16> bytes{};
    bool dhcp = false;
    uint64_t last_used = 0;
    int rank() const;
  };
  bool is_guest(Bytes hardware_address) const;
  bool use(bool ipv6, Bytes bytes, bool dhcp);
  bool forget(Bytes ipv4);

  const MACAddress mac_;
  std::vector<Address> addresses_;  // In the order in which they were learned.
  uint64_t uses_ = 0;
};

}  // namespace alcove::network
