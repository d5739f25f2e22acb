#include "network/guest_addresses.h"

#include <arpa/inet.h>

#include <algorithm>

#include "network/dhcp_options.h"
#include "spec/internet.h"

namespace alcove::network {

namespace wire = spec::internet;

namespace {

constexpr int kLastRank = 3;

// One machine's own address, and not one that means this host, everybody or nobody yet.
bool is_own_address(bool ipv6, Bytes bytes) {
  if (ipv6) {
    const bool zero = std::ranges::all_of(bytes.first(15), [](std::byte b) { return b == std::byte{0}; });
    return !zero && load8(bytes, 0) != 0xff;
  }
  const uint8_t first = load8(bytes, 0);
  return first != 0 && first != 127 && first < 224;
}

// The type of a DHCP message, or 0 if it is none (RFC 2131, section 2).
uint8_t dhcp_message_type(Bytes message) {
  if (message.size() < wire::kDhcpOptions || load32(message, wire::kDhcpCookie) != wire::kDhcpCookieValue) {
    return 0;
  }
  uint8_t type = 0;
  for_each_dhcp_option(message, [&](const DhcpOption& option) {
    if (option.code == wire::kDhcpOptionMessageType && option.length == 1 && type == 0)
      type = load8(message, option.at);
  });
  return type;
}

Bytes dhcp_message(const Packet& packet, uint16_t destination_port) {
  if (packet.type != wire::kTypeIpv4 || packet.protocol != wire::kProtocolUdp) return {};
  if (load16(packet.transport, wire::kUdpDestinationPort) != destination_port) return {};
  return packet.transport.subspan(wire::kUdpSize);
}

}  // namespace

int GuestAddresses::Address::rank() const {
  if (dhcp) return 0;
  const auto first = std::to_integer<unsigned>(bytes[0]), second = std::to_integer<unsigned>(bytes[1]);
  const bool link_local = ipv6 ? first == 0xfe && (second & 0xc0) == 0x80 : first == 169 && second == 254;
  return link_local ? kLastRank : ipv6 ? 2 : 1;
}

bool GuestAddresses::is_guest(Bytes hardware_address) const {
  return std::ranges::equal(hardware_address, std::as_bytes(std::span(mac_.bytes())));
}

bool GuestAddresses::see_from_guest(Bytes frame) {
  const auto packet = parse(frame);
  if (!packet || !is_guest(frame.subspan(wire::kEthernetSource, 6))) return false;
  const Bytes header = packet->network;
  switch (packet->type) {
    case wire::kTypeArp:
      if (header.size() < wire::kArpSize || !is_guest(header.subspan(wire::kArpSenderHardware, 6))) {
        return false;
      }
      return use(false, header.subspan(wire::kArpSenderProtocol, 4), false);
    case wire::kTypeIpv4: {
      if (header.empty()) return false;
      const Bytes dhcp = dhcp_message(*packet, wire::kDhcpServerPort);
      if (dhcp_message_type(dhcp) == wire::kDhcpRelease) {
        return forget(dhcp.subspan(wire::kDhcpClientAddress, 4));
      }
      return use(false, header.subspan(wire::kIpv4Source, 4), false);
    }
    case wire::kTypeIpv6:
      return !header.empty() && use(true, header.subspan(wire::kIpv6Source, 16), false);
    default:
      return false;
  }
}

bool GuestAddresses::see_to_guest(Bytes frame) {
  const auto packet = parse(frame);
  if (!packet) return false;
  const Bytes message = dhcp_message(*packet, wire::kDhcpClientPort);
  if (dhcp_message_type(message) != wire::kDhcpAcknowledge) return false;
  if (!is_guest(message.subspan(wire::kDhcpHardwareAddress, 6))) return false;
  const Bytes address = message.subspan(wire::kDhcpYourAddress, 4);
  // A lease takes the place of the one before.
  const bool replaced = std::erase_if(addresses_, [&](const Address& known) {
    return known.dhcp && !std::ranges::equal(std::span(known.bytes).first(4), address);
  });
  return use(false, address, true) || replaced;
}

bool GuestAddresses::use(bool ipv6, Bytes bytes, bool dhcp) {
  if (!is_own_address(ipv6, bytes)) return false;
  auto known = std::ranges::find_if(addresses_, [&](const Address& address) {
    return address.ipv6 == ipv6 && std::ranges::equal(std::span(address.bytes).first(bytes.size()), bytes);
  });
  if (known != addresses_.end()) {
    known->last_used = ++uses_;
    const bool changed = dhcp && !known->dhcp;
    known->dhcp |= dhcp;
    return changed;
  }
  if (addresses_.size() == kMaximum) {
    addresses_.erase(std::ranges::min_element(addresses_, {}, &Address::last_used));
  }
  Address address{.ipv6 = ipv6, .dhcp = dhcp, .last_used = ++uses_};
  std::ranges::copy(bytes, address.bytes.begin());
  addresses_.push_back(address);
  return true;
}

bool GuestAddresses::forget(Bytes ipv4) {
  return std::erase_if(addresses_, [&](const Address& address) {
    return !address.ipv6 && std::ranges::equal(std::span(address.bytes).first(4), ipv4);
  });
}

std::vector<std::string> GuestAddresses::list() const {
  std::vector<std::string> result;
  for (int rank = 0; rank <= kLastRank; ++rank) {
    for (const Address& address : addresses_) {
      if (address.rank() != rank) continue;
      char text[INET6_ADDRSTRLEN];
      result.emplace_back(
          inet_ntop(address.ipv6 ? AF_INET6 : AF_INET, address.bytes.data(), text, sizeof text));
    }
  }
  return result;
}

}  // namespace alcove::network
