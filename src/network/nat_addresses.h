#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace alcove::network {

// A guest's network as it sees it. IPv4 addresses as numbers: 10.0.2.15 is 0x0a00020f.
struct NatAddresses {
  uint32_t network = 10u << 24 | 2u << 8;
  uint32_t mask = 0xffffff00;
  // What it gets by DHCP: the first address, and the only one as long as it has one MAC address.
  uint32_t guest = 10u << 24 | 2u << 8 | 15;
  std::array<uint8_t, 8> prefix{0xfe, 0xc0};  // Of IPv6, 64 bits.
  std::string host_name;                      // What DHCP tells it; empty: nothing.
  std::string domain;                         // The same.

  uint32_t host() const { return network | 2; }
  uint32_t name_server() const { return network | 3; }
};

}  // namespace alcove::network
