#include "network/nat_switches.h"

#include <algorithm>
#include <array>

#include "network/dhcp_options.h"
#include "network/name_service.h"
#include "spec/internet.h"

namespace alcove::network {

namespace wire = spec::internet;

namespace {

constexpr uint32_t kEveryone = 0xffffffff;

// To any but the network's own two, with the prefix or of the link. libslirp takes none further, and has a
// line in the machine's log for each.
bool is_unanswered_echo(const Packet& packet, const NatAddresses& addresses) {
  if (packet.transport.empty() || load8(packet.transport, 0) != wire::kIcmpv6EchoRequest) return false;
  const Bytes destination = packet.network.subspan(wire::kIpv6Destination, 16);
  constexpr std::array<uint8_t, 8> kLink{0xfe, 0x80};
  const bool is_near = std::ranges::equal(destination.first(8), std::as_bytes(std::span(kLink))) ||
                       addresses.has_in_prefix(destination);
  constexpr std::array<uint8_t, 7> kZeros{};
  const bool is_own = std::ranges::equal(destination.subspan(8, 7), std::as_bytes(std::span(kZeros))) &&
                      (load8(destination, 15) == 2 || load8(destination, 15) == 3);
  return !is_near || !is_own;
}

std::vector<std::byte> copy(Bytes frame) {
  return {frame.begin(), frame.end()};
}

}  // namespace

NatSwitches::NatSwitches(const PrivateNetwork& wishes, const NatAddresses& addresses)
    : wishes_(wishes),
      addresses_(addresses),
      asks_others_(wishes.dns_proxy && (wishes.nat44 || wishes.nat66)),
      tells_names_(wishes.dns_proxy && (asks_others_ || !addresses.domain.empty())) {}

bool NatSwitches::admits(const Packet& packet) const {
  if (packet.type == wire::kTypeIpv4) return admits_ipv4(packet);
  if (packet.type == wire::kTypeIpv6) return admits_ipv6(packet);
  return true;
}

bool NatSwitches::admits_ipv4(const Packet& packet) const {
  const uint32_t destination = load32(packet.network, wire::kIpv4Destination);
  if (destination == addresses_.name_server()) return asks_others_ || packet.protocol == wire::kProtocolIcmp;
  return wishes_.nat44 || destination == addresses_.host() || destination == kEveryone;
}

bool NatSwitches::admits_ipv6(const Packet& packet) const {
  const Bytes destination = packet.network.subspan(wire::kIpv6Destination, 16);
  const bool is_icmp = packet.protocol == wire::kProtocolIcmpv6;
  const bool is_own = addresses_.has_in_prefix(destination);
  if (is_icmp && is_unanswered_echo(packet, addresses_)) return false;
  if (is_name_server(packet, addresses_)) return asks_others_ || is_icmp;
  // This tells of name servers alone. The port of others is one like any.
  if (packet.protocol == wire::kProtocolUdp &&
      (is_own || std::ranges::equal(destination, std::as_bytes(std::span(wire::kDhcp6Servers)))) &&
      load16(packet.transport, wire::kUdpDestinationPort) == wire::kDhcp6ServerPort)
    return wishes_.dhcp && tells_names_;
  if (wishes_.nat66 || is_own) return true;
  // Neighbours find each other.
  const uint16_t first = load16(destination, 0);
  return is_icmp && (first == 0xff02 || (first & 0xffc0) == 0xfe80);
}

bool NatSwitches::passes(Bytes frame, std::vector<std::byte>& changed) const {
  const auto packet = parse(frame);
  if (!packet) return false;
  if (packet->type == wire::kTypeIpv4 && packet->protocol == wire::kProtocolUdp &&
      load16(packet->transport, wire::kUdpSourcePort) == wire::kDhcpServerPort) {
    change_lease(frame, *packet, changed);
  } else if (packet->type == wire::kTypeIpv6 && packet->protocol == wire::kProtocolIcmpv6 &&
             packet->transport.size() >= wire::kAdvertisementOptions &&
             load8(packet->transport, 0) == wire::kRouterAdvertisement) {
    if (!wishes_.router_advertisement) return false;
    change_advertisement(frame, *packet, changed);
  }
  return true;
}

bool NatSwitches::is_silent_about(uint8_t dhcp_option) const {
  return (dhcp_option == wire::kDhcpOptionRouter && !wishes_.nat44) ||
         (dhcp_option == wire::kDhcpOptionNameServer && !tells_names_);
}

// Options that are not to be there become padding.
void NatSwitches::change_lease(Bytes frame, const Packet& packet, std::vector<std::byte>& changed) const {
  const Bytes message = packet.transport.subspan(wire::kUdpSize);
  for_each_dhcp_option(message, [&](const DhcpOption& option) {
    if (!is_silent_about(option.code)) return;
    if (changed.empty()) changed = copy(frame);
    const auto datagram = std::span(changed).last(packet.transport.size());
    std::ranges::fill(datagram.subspan(wire::kUdpSize + option.at - 2, 2 + option.length),
                      std::byte{wire::kDhcpOptionPad});
    store16(datagram, wire::kUdpChecksum, 0);  // None.
  });
}

// A router for a time of 0 is none, and so is a name server.
void NatSwitches::change_advertisement(Bytes frame, const Packet& packet,
                                       std::vector<std::byte>& changed) const {
  if (wishes_.nat66 && tells_names_) return;
  changed = copy(frame);
  const auto message = std::span(changed).last(packet.transport.size());
  if (!wishes_.nat66) store16(message, wire::kAdvertisementLifetime, 0);
  for (size_t at = wire::kAdvertisementOptions; at + 8 <= message.size();) {
    const size_t length = load8(message, at + 1) * size_t{8};
    if (length == 0 || length > message.size() - at) break;
    if (load8(message, at) == wire::kNeighborOptionNameServer && !tells_names_)
      std::ranges::fill(message.subspan(at + 4, 4), std::byte{0});
    at += length;
  }
  std::vector<std::byte> pseudo = copy(packet.network.subspan(wire::kIpv6Source, 32));
  pseudo.resize(pseudo.size() + 4);
  store16(pseudo, 32, static_cast<uint16_t>(message.size()));
  store16(pseudo, 34, wire::kProtocolIcmpv6);
  store16(message, wire::kIcmpChecksum, 0);
  store16(message, wire::kIcmpChecksum, ~sum(message, sum(pseudo)));
}

}  // namespace alcove::network
