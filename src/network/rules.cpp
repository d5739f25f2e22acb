#include "network/rules.h"

#include <algorithm>

#include "spec/internet.h"

namespace alcove::network {

namespace wire = spec::internet;

namespace {

// What came from outside is forgotten when so much more has come: whoever floods a guest breaks its
// conversations with those whom it may not address itself.
constexpr size_t kMostFlows = 4096;

Bytes address_at(const Packet& packet, bool destination) {
  if (packet.type == wire::kTypeIpv4)
    return packet.network.subspan(destination ? wire::kIpv4Destination : wire::kIpv4Source, 4);
  return packet.network.subspan(destination ? wire::kIpv6Destination : wire::kIpv6Source, 16);
}

bool is_broadcast(Bytes address) {
  return std::ranges::all_of(address, [](std::byte byte) { return byte == std::byte{0xff}; });
}

// ff02::/16
bool is_group_of_link(Bytes address) {
  return address.size() == 16 && load16(address, 0) == 0xff02;
}

bool is_dhcp(const Packet& packet, Bytes destination) {
  if (packet.protocol != wire::kProtocolUdp) return false;
  const uint16_t from = load16(packet.transport, wire::kUdpSourcePort),
                 to = load16(packet.transport, wire::kUdpDestinationPort);
  if (packet.type == wire::kTypeIpv4)
    return from == wire::kDhcpClientPort && to == wire::kDhcpServerPort && is_broadcast(destination);
  return from == wire::kDhcp6ClientPort && to == wire::kDhcp6ServerPort &&
         std::ranges::equal(destination, std::as_bytes(std::span(wire::kDhcp6Servers)));
}

// What groups a guest listens to: that alone may stand behind a hop-by-hop header.
bool is_listener_discovery(Bytes hop_by_hop) {
  if (hop_by_hop.size() < wire::kNextHeaderUnit) return false;
  const size_t header = (load8(hop_by_hop, 1) + size_t{1}) * wire::kNextHeaderUnit;
  if (load8(hop_by_hop, 0) != wire::kProtocolIcmpv6 || header >= hop_by_hop.size()) return false;
  const uint8_t type = load8(hop_by_hop, header);
  return (type >= wire::kListenerQuery && type <= wire::kListenerDone) || type == wire::kListenerReport2;
}

// Neighbour discovery, which no router passes on (RFC 4861, section 7.1), and that of groups' listeners.
bool is_link_management(const Packet& packet, Bytes destination) {
  if (packet.type != wire::kTypeIpv6) return false;
  if (packet.protocol == wire::kNextHeaderHopByHop)
    return is_group_of_link(destination) && is_listener_discovery(packet.transport);
  if (packet.protocol != wire::kProtocolIcmpv6 || packet.transport.empty()) return false;
  const uint8_t type = load8(packet.transport, 0);
  return type >= wire::kRouterSolicitation && type <= wire::kRedirect &&
         load8(packet.network, wire::kIpv6HopLimit) == 255;
}

bool is_extension_header(uint8_t number) {
  constexpr uint8_t kAll[] = {wire::kNextHeaderHopByHop, 43, 44, 51, 60, 135, 139, 140};  // IANA's list.
  return std::ranges::find(kAll, number) != std::end(kAll);
}

// IPv4's options could send a packet another way; IPv6's extension headers hide what it is, and so does being
// too short for one's own header.
bool hides_something(const Packet& packet) {
  if (packet.type == wire::kTypeIpv6) return is_extension_header(packet.protocol);
  const size_t header = (load8(packet.network, 0) & 0x0f) * size_t{4};
  if (header > wire::kIpv4Size) return load8(packet.network, wire::kIpv4Protocol) != wire::kProtocolIgmp;
  return packet.protocol == 0 && !packet.fragment;
}

bool has_ports(const Packet& packet) {
  return packet.protocol == wire::kProtocolTcp || packet.protocol == wire::kProtocolUdp;
}

// TCP has them where UDP has them.
uint16_t port_of(const Packet& packet, bool destination) {
  return load16(packet.transport, destination ? wire::kUdpDestinationPort : wire::kUdpSourcePort);
}

std::optional<uint8_t> number_of(std::optional<TransportProtocol> protocol) {
  if (!protocol) return {};
  return *protocol == TransportProtocol::tcp ? wire::kProtocolTcp : wire::kProtocolUdp;
}

}  // namespace

Rules::Rules(const std::vector<NetworkRule>& rules) {
  for (const NetworkRule& rule : rules) {
    rules_.push_back({.action = rule.action,
                      .destination = IPPrefix::parse(rule.destination),
                      .protocol = number_of(rule.protocol),
                      .first_port = rule.first_port,
                      .last_port = rule.last_port != 0    ? rule.last_port
                                   : rule.first_port != 0 ? rule.first_port
                                                          : uint16_t{UINT16_MAX}});
  }
}

// A part of a datagram does not say which ports are meant: it is denied where any rule would deny the whole,
// and allowed by those only that say nothing of protocols.
bool Rules::fits(const Rule& rule, const Other& other) {
  if (rule.destination && !rule.destination->contains(other.address)) return false;
  if (!rule.protocol) return true;
  if (other.is_part) return rule.action == NetworkRuleAction::deny;
  return other.protocol == *rule.protocol && other.port >= rule.first_port && other.port <= rule.last_port;
}

bool Rules::may_address(const Other& other) const {
  for (const Rule& rule : rules_)
    if (fits(rule, other)) return rule.action == NetworkRuleAction::allow;
  return true;
}

Rules::Other Rules::other_of(const Packet& packet, bool from_guest) {
  return {.address = address_at(packet, from_guest),
          .protocol = packet.protocol,
          .port = has_ports(packet) ? port_of(packet, from_guest) : uint16_t{0},
          .is_part = packet.fragment};
}

std::optional<Rules::Flow> Rules::flow_of(const Packet& packet, bool from_guest) {
  Flow flow{.protocol = packet.protocol};
  if (has_ports(packet)) {
    flow.own_port = port_of(packet, !from_guest);
    flow.other_port = port_of(packet, from_guest);
  } else if (packet.protocol == wire::kProtocolIcmp || packet.protocol == wire::kProtocolIcmpv6) {
    // Of those there is one with an answer: the echo.
    const bool is_v4 = packet.protocol == wire::kProtocolIcmp;
    const uint8_t request = is_v4 ? wire::kIcmpEchoRequest : wire::kIcmpv6EchoRequest,
                  reply = is_v4 ? wire::kIcmpEchoReply : wire::kIcmpv6EchoReply;
    if (packet.transport.size() < wire::kIcmpEchoSize ||
        load8(packet.transport, 0) != (from_guest ? reply : request))
      return {};
    flow.own_port = load16(packet.transport, wire::kIcmpEchoIdentifier);
  } else {
    return {};
  }
  std::ranges::transform(address_at(packet, from_guest), flow.other.begin(),
                         [](std::byte byte) { return std::to_integer<uint8_t>(byte); });
  return flow;
}

bool Rules::allows(Bytes frame) {
  const auto packet = parse(frame);
  if (!packet || packet->network.empty()) return false;
  if (packet->type == wire::kTypeArp) return true;
  if (packet->type != wire::kTypeIpv4 && packet->type != wire::kTypeIpv6) return false;
  const Other other = other_of(*packet, true);
  if (is_dhcp(*packet, other.address) || is_link_management(*packet, other.address)) return true;
  if (hides_something(*packet)) return false;
  if (may_address(other)) return true;
  const auto flow = flow_of(*packet, true);
  const auto found = flow ? flows_.find(*flow) : flows_.end();
  if (found == flows_.end()) return false;
  found->second = ++now_;
  return true;
}

void Rules::see_to_guest(Bytes frame) {
  const auto packet = parse(frame);
  if (!packet || packet->network.empty()) return;
  if (packet->type != wire::kTypeIpv4 && packet->type != wire::kTypeIpv6) return;
  if (may_address(other_of(*packet, false))) return;
  if (const auto flow = flow_of(*packet, false)) remember(*flow);
}

void Rules::remember(const Flow& flow) {
  const auto [place, is_new] = flows_.try_emplace(flow, 0);
  place->second = ++now_;
  if (!is_new || flows_.size() <= kMostFlows) return;
  // Half of them at once: those that were not used for longest.
  std::vector<uint64_t> uses;
  for (const auto& [known, use] : flows_) uses.push_back(use);
  const auto middle = uses.begin() + static_cast<ptrdiff_t>(uses.size() / 2);
  std::ranges::nth_element(uses, middle);
  std::erase_if(flows_, [oldest = *middle](const auto& known) { return known.second < oldest; });
}

}  // namespace alcove::network
