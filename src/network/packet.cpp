#include "network/packet.h"

#include <bit>
#include <cstring>

#include "spec/internet.h"

namespace alcove::network {

namespace wire = spec::internet;

namespace {

void parse_ipv4(Packet& packet) {
  const Bytes ip = packet.network;
  if (ip.size() < wire::kIpv4Size) return packet.network = {}, void();
  const size_t header = (load8(ip, 0) & 0x0f) * size_t{4};
  if (load8(ip, 0) >> 4 != 4 || header < wire::kIpv4Size || header > ip.size()) {
    return packet.network = {}, void();
  }
  packet.fragment = load16(ip, wire::kIpv4Fragment) & wire::kIpv4MoreFragmentsAndOffset;
  packet.protocol = load8(ip, wire::kIpv4Protocol);
  packet.transport = ip.subspan(header);
}

void parse_ipv6(Packet& packet) {
  const Bytes ip = packet.network;
  if (ip.size() < wire::kIpv6Size || load8(ip, 0) >> 4 != 6) return packet.network = {}, void();
  packet.protocol = load8(ip, wire::kIpv6NextHeader);
  packet.transport = ip.subspan(wire::kIpv6Size);
}

}  // namespace

std::optional<Packet> parse(Bytes frame) {
  return parse(frame, wire::kEthernetSize);
}

std::optional<Packet> parse(Bytes frame, size_t ethernet_size) {
  if (frame.size() < ethernet_size) return std::nullopt;
  Packet packet{.type = load16(frame, ethernet_size - 2), .network = frame.subspan(ethernet_size)};
  if (packet.type == wire::kTypeIpv4) parse_ipv4(packet);
  if (packet.type == wire::kTypeIpv6) parse_ipv6(packet);
  const size_t least = packet.protocol == wire::kProtocolTcp   ? wire::kTcpSize
                       : packet.protocol == wire::kProtocolUdp ? wire::kUdpSize
                                                               : 0;
  if (packet.fragment || packet.transport.size() < least) {
    packet.protocol = 0;
    packet.transport = {};
  }
  return packet;
}

size_t ethernet_size(Bytes frame) {
  size_t size = wire::kEthernetSize;
  for (size_t tags = 0; tags < wire::kMostVlanTags && frame.size() >= size; ++tags) {
    const uint16_t type = load16(frame, size - 2);
    if (type != wire::kTypeVlan && type != wire::kTypeServiceVlan) break;
    size += wire::kVlanTagSize;
  }
  return size;
}

size_t largest_frame(Bytes frame, uint16_t mtu) {
  return ethernet_size(frame) + mtu;
}

uint16_t sum(Bytes bytes, uint16_t initial) {
  // Summed in the host's byte order and turned at the end, which comes to the same (RFC 1071, section 2 (B)).
  static_assert(std::endian::native == std::endian::little);
  uint64_t total = __builtin_bswap16(initial);
  for (; bytes.size() >= 4; bytes = bytes.subspan(4)) {
    uint32_t word;
    std::memcpy(&word, bytes.data(), sizeof word);
    total += word;
  }
  if (bytes.size() >= 2) {
    uint16_t half;
    std::memcpy(&half, bytes.data(), sizeof half);
    total += half;
    bytes = bytes.subspan(2);
  }
  if (!bytes.empty()) total += load8(bytes, 0);
  while (total >> 16) total = (total & 0xffff) + (total >> 16);
  return __builtin_bswap16(static_cast<uint16_t>(total));
}

}  // namespace alcove::network
