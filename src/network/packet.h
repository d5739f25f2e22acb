#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "spec/internet.h"

namespace alcove::network {

using Bytes = std::span<const std::byte>;

// Numbers in network byte order. The caller has checked that they are there.
inline uint8_t load8(Bytes bytes, size_t offset) {
  return std::to_integer<uint8_t>(bytes[offset]);
}
inline uint16_t load16(Bytes bytes, size_t offset) {
  return static_cast<uint16_t>(load8(bytes, offset) << 8 | load8(bytes, offset + 1));
}
inline uint32_t load32(Bytes bytes, size_t offset) {
  return uint32_t{load16(bytes, offset)} << 16 | load16(bytes, offset + 2);
}
inline void store16(std::span<std::byte> bytes, size_t offset, uint16_t value) {
  bytes[offset] = std::byte(value >> 8);
  bytes[offset + 1] = std::byte(value & 0xff);
}

// An Ethernet frame taken apart as far as it is well-formed; what is not there is empty.
struct Packet {
  uint16_t type = 0;      // Of Ethernet.
  Bytes network;          // ARP, or the IP header with all that follows.
  bool fragment = false;  // IPv4 other than a whole datagram.
  uint8_t protocol = 0;   // Of a whole IPv4 datagram, or IPv6 without extension headers.
  Bytes transport;        // Its header and payload, whole at least for TCP and UDP.
};

// Nothing if it is too short for an Ethernet header. What VLAN tags are before is not looked at.
std::optional<Packet> parse(Bytes frame);
// The same, of what is behind such a header.
std::optional<Packet> parse(Bytes frame, size_t ethernet_size);

// Of the Ethernet header with its VLAN tags, if the frame has room for it.
size_t ethernet_size(Bytes frame);
// How long such a frame may be where IP packets have at most `mtu` bytes, and any.
size_t largest_frame(Bytes frame, uint16_t mtu);
constexpr size_t largest_frame(uint16_t mtu) {
  return spec::internet::kEthernetSize + spec::internet::kMostVlanTags * spec::internet::kVlanTagSize + mtu;
}

// The Internet checksum (RFC 1071) of the bytes, not yet complemented; `initial` goes in.
uint16_t sum(Bytes bytes, uint16_t initial = 0);

}  // namespace alcove::network
