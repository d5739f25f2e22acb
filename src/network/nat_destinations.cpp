#include "network/nat_destinations.h"

#include <algorithm>

#include "network/name_service.h"
#include "spec/internet.h"

namespace alcove::network {

namespace wire = spec::internet;

namespace {

bool is_all(Bytes bytes, uint8_t value) {
  return std::ranges::all_of(bytes, [value](std::byte byte) { return byte == std::byte{value}; });
}

// "This host" and loopback (RFC 6890). Of broadcasts there is DHCP's alone that libslirp answers itself:
// others go to the host's loopback.
bool is_ipv4_destination(const Packet& packet) {
  const uint32_t destination = load32(packet.network, wire::kIpv4Destination);
  const uint32_t block = destination >> 24;
  if (destination != UINT32_MAX) return block != 0 && block != 127;
  return packet.protocol == wire::kProtocolUdp &&
         load16(packet.transport, wire::kUdpDestinationPort) == wire::kDhcpServerPort;
}

// ::1, ::, and IPv4 addresses in disguise: of both forms (RFC 4291, section 2.5.5), as sockets speak IPv4 to
// one of them.
bool is_ipv4_or_loopback(Bytes destination) {
  return is_all(destination.first(10), 0) &&
         (is_all(destination.subspan(10, 2), 0) || is_all(destination.subspan(10, 2), 0xff));
}

// The whole prefix is the host's loopback to libslirp, and so are all the link's nodes.
bool is_ipv6_destination(const Packet& packet, const NatAddresses& addresses) {
  const Bytes destination = packet.network.subspan(wire::kIpv6Destination, 16);
  if (is_ipv4_or_loopback(destination)) return false;
  if (std::ranges::equal(destination, std::as_bytes(std::span(wire::kIpv6AllNodes))))
    return packet.protocol == wire::kProtocolIcmpv6;
  if (!addresses.has_in_prefix(destination)) return true;
  return is_name_server(packet, addresses) ||
         (is_all(destination.subspan(8, 7), 0) && load8(destination, 15) == 2);
}

}  // namespace

bool is_nat_destination(const Packet& packet, const NatAddresses& addresses) {
  if (packet.type == wire::kTypeIpv4) return is_ipv4_destination(packet);
  if (packet.type == wire::kTypeIpv6) return is_ipv6_destination(packet, addresses);
  return true;
}

}  // namespace alcove::network
