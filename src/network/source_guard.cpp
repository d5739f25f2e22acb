#include "network/source_guard.h"

#include <algorithm>

#include "spec/internet.h"

namespace alcove::network {

namespace wire = spec::internet;

namespace {

constexpr uint16_t kDhcpv6ServerPort = 547;
constexpr uint16_t kFragmentOffset = 0x1fff;

// What is behind an IPv6 header's extensions (RFC 8200, section 4).
struct Upper {
  uint8_t protocol = 0;
  Bytes message;
  bool is_later_fragment = false;
  bool is_fragment = false;
};

std::optional<Upper> upper_layer(Bytes ip) {
  constexpr uint8_t kHopByHop = 0, kRouting = 43, kFragment = 44, kOptions = 60;
  constexpr size_t kMostExtensions = 8;
  Upper upper{.protocol = load8(ip, wire::kIpv6NextHeader), .message = ip.subspan(wire::kIpv6Size)};
  for (size_t count = 0; count < kMostExtensions; ++count) {
    const bool is_fragment = upper.protocol == kFragment;
    if (!is_fragment && upper.protocol != kHopByHop && upper.protocol != kRouting &&
        upper.protocol != kOptions) {
      return upper;
    }
    if (upper.message.size() < 8) return {};
    const size_t size = is_fragment ? 8 : (load8(upper.message, 1) + size_t{1}) * 8;
    if (size > upper.message.size()) return {};
    if (is_fragment) {
      upper.is_fragment = true;
      if (load16(upper.message, 2) & 0xfff8) {
        upper.is_later_fragment = true;
        return upper;
      }
    }
    upper.protocol = load8(upper.message, 0);
    upper.message = upper.message.subspan(size);
  }
  return {};
}

bool is_multicast(Bytes ipv6) {
  return load8(ipv6, 0) == 0xff;
}
bool is_unspecified(Bytes ipv6) {
  return std::ranges::all_of(ipv6, [](std::byte byte) { return byte == std::byte{0}; });
}

Ipv6Address copy(Bytes ipv6) {
  Ipv6Address result;
  std::ranges::copy(ipv6, result.begin());
  return result;
}

}  // namespace

bool SourceGuard::is_own_arp(Bytes arp) const {
  if (arp.size() < wire::kArpSize || load16(arp, wire::kArpHardwareType) != wire::kArpEthernet ||
      load16(arp, wire::kArpProtocolType) != wire::kTypeIpv4 ||
      load16(arp, wire::kArpSizes) != wire::kArpEthernetAndIpv4Sizes) {
    return false;
  }
  const uint32_t sender = load32(arp, wire::kArpSenderProtocol);
  return std::ranges::equal(arp.subspan(wire::kArpSenderHardware, 6),
                            std::as_bytes(std::span(mac_.bytes()))) &&
         (sender == addresses_.guest || sender == 0);
}

bool SourceGuard::is_own_ipv4(Bytes ip) const {
  if (ip.empty()) return false;
  const size_t header = (load8(ip, 0) & 0x0f) * size_t{4};
  const Bytes datagram = ip.subspan(header);
  const bool has_ports = load8(ip, wire::kIpv4Protocol) == wire::kProtocolUdp &&
                         !(load16(ip, wire::kIpv4Fragment) & kFragmentOffset);
  if (has_ports && datagram.size() < wire::kUdpSize) return false;
  if (has_ports && load16(datagram, wire::kUdpSourcePort) == wire::kDhcpServerPort) return false;
  const uint32_t source = load32(ip, wire::kIpv4Source);
  if (source == addresses_.guest) return true;
  return source == 0 && has_ports && load16(datagram, wire::kUdpDestinationPort) == wire::kDhcpServerPort;
}

bool SourceGuard::may_have(Bytes ipv6) const {
  const bool is_link_local = load8(ipv6, 0) == 0xfe && (load8(ipv6, 1) & 0xc0) == 0x80;
  if (!is_link_local && !addresses_.has_in_prefix(ipv6)) return false;
  // The host's are below 16: 2 and 3.
  return !std::ranges::all_of(ipv6.subspan(8, 7), [](std::byte byte) { return byte == std::byte{0}; }) ||
         load8(ipv6, 15) >= 16;
}

SourceGuard::Verdict SourceGuard::judge_ipv6(Bytes ip) const {
  if (ip.empty()) return {};
  const Bytes source = ip.subspan(wire::kIpv6Source, 16);
  const auto upper = upper_layer(ip);
  if (!upper) return {};
  Verdict verdict{.honest = true};
  if (!upper->is_later_fragment) {
    if (upper->protocol == wire::kProtocolUdp &&
        (upper->message.size() < wire::kUdpSize ||
         load16(upper->message, wire::kUdpSourcePort) == kDhcpv6ServerPort)) {
      return {};
    }
    if (upper->protocol == wire::kProtocolIcmpv6) {
      const Bytes message = upper->message;
      if (message.size() < 4) return {};
      const uint8_t type = load8(message, 0);
      if (type == wire::kRouterAdvertisement || type == wire::kRedirect) return {};
      if (type == wire::kNeighborAdvertisement) {
        // Not in fragments (RFC 6980), and of its own addresses alone.
        if (upper->is_fragment || message.size() < wire::kNeighborSize) return {};
        const Bytes target = message.subspan(wire::kNeighborTarget, 16);
        if (!may_have(target)) return {};
        verdict.target = copy(target);
      }
    }
  }
  // Who looks whether an address is free has none yet.
  if (is_unspecified(source)) {
    verdict.honest = !verdict.target && is_multicast(ip.subspan(wire::kIpv6Destination, 16));
    return verdict;
  }
  if (!may_have(source)) return {};
  verdict.source = copy(source);
  return verdict;
}

SourceGuard::Verdict SourceGuard::judge(Bytes frame) const {
  const auto packet = parse(frame);
  if (!packet ||
      !std::ranges::equal(frame.subspan(wire::kEthernetSource, 6), std::as_bytes(std::span(mac_.bytes())))) {
    return {};
  }
  switch (packet->type) {
    case wire::kTypeArp:
      return {.honest = is_own_arp(packet->network)};
    case wire::kTypeIpv4:
      return {.honest = is_own_ipv4(packet->network)};
    case wire::kTypeIpv6:
      return judge_ipv6(packet->network);
    default:
      return {};
  }
}

}  // namespace alcove::network
