#pragma once

#include <alcove/network.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
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
  uint16_t mtu = 1500;

  uint32_t host() const { return network | 2; }
  uint32_t name_server() const { return network | 3; }
  uint32_t broadcast() const { return network | ~mask; }
  // One that a guest can have.
  bool is_guests(uint32_t address) const {
    return (address & mask) == network && address != network && address != host() &&
           address != name_server() && address != broadcast();
  }
  // Whether an IPv6 address, of 16 bytes, is of the network.
  bool has_in_prefix(std::span<const std::byte> address) const;
};

// "10.200.7.9", and back.
std::string address_text(uint32_t address);
std::optional<uint32_t> address_from_text(const std::string& text);
// "10.200.0.0/16"
std::string subnet_text(const NatAddresses& network);
// "fd12:3456:789a::/64"
std::string prefix_text(const NatAddresses& network);

// What the wishes ask for, and all else as it was. With another subnet and no address wished for, the guest
// has one of the subnet's first. Wishes that are not well-formed are none.
NatAddresses with_wishes(NatAddresses network, const PrivateNetwork& wishes);

}  // namespace alcove::network
