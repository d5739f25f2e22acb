#include "network/uplink.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "spec/internet.h"
#include "support/ip_prefix.h"

namespace alcove::network {

namespace wire = spec::internet;

namespace {

constexpr size_t kMostFromOutside = 4096;

bool bind_to(int socket, const std::string& interface) {
  return ::setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, interface.data(),
                      static_cast<socklen_t>(interface.size())) == 0;
}

// Of a datagram that was too long for one packet. NAT's have no options.
bool is_first_part(const Packet& packet) {
  return packet.fragment && load8(packet.network, wire::kIpv4Protocol) == wire::kProtocolUdp &&
         (load16(packet.network, wire::kIpv4Fragment) & wire::kIpv4Offset) == 0;
}

}  // namespace

Result<> Uplink::check(const std::string& interface) {
  constexpr auto kField = "network.external_interface";
  if (::if_nametoindex(interface.c_str()) == 0)
    return fail(ErrorCode::network_error, kField, fmt::format("the host has no interface {}", interface),
                "`ip link` shows those it has");
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket || !bind_to(socket.get(), interface))
    return fail(ErrorCode::network_error, kField,
                fmt::format("can't bind a socket to {}: {}", interface, std::strerror(errno)),
                "Linux before 5.7 lets only the administrator do so");
  return {};
}

Uplink::Uplink(std::string interface, const NatAddresses& addresses)
    : interface_(std::move(interface)),
      addresses_(addresses),
      nowhere_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}

// As libslirp sees it: what it takes to the host's loopback, or answers itself, is inside.
bool Uplink::is_outside(const Packet& packet) const {
  if (packet.type == wire::kTypeIpv4) {
    const uint32_t destination = load32(packet.network, wire::kIpv4Destination);
    return destination != addresses_.host() && destination != addresses_.name_server() &&
           destination != UINT32_MAX;
  }
  const Bytes destination = packet.network.subspan(wire::kIpv6Destination, 16);
  return !addresses_.has_in_prefix(destination) &&
         !std::ranges::equal(destination, std::as_bytes(std::span(wire::kIpv6AllNodes)));
}

bool Uplink::begin(const Packet& packet) {
  current_.reset();
  if (packet.type != wire::kTypeIpv4 && packet.type != wire::kTypeIpv6) return true;
  Current next{.is_outside = is_outside(packet), .port = {}};
  if (next.is_outside && !nowhere_) return false;
  // From which port a part of a datagram comes is not in each.
  if (packet.fragment && load8(packet.network, wire::kIpv4Protocol) == wire::kProtocolUdp) return false;
  if (packet.protocol != wire::kProtocolUdp) {
    current_ = next;
    return true;
  }
  const Conversation conversation = conversation_of(packet, true, packet.transport);
  const Port& port = conversation.first;
  if (next.is_outside && forwards_.contains(port) && !from_outside_.contains(conversation)) return false;
  next.port = port;
  const auto use = uses_.find(port);
  if (use != uses_.end() && use->second.is_outside != next.is_outside) return false;
  current_ = next;
  return true;
}

Uplink::Conversation Uplink::conversation_of(const Packet& packet, bool from_guest, Bytes datagram) {
  const bool is_v4 = packet.type == wire::kTypeIpv4;
  const auto port_at = [&](size_t address, size_t port) {
    Port result{.type = packet.type, .number = load16(datagram, port)};
    std::ranges::copy(packet.network.subspan(address, is_v4 ? 4 : 16), result.address.begin());
    return result;
  };
  const Port from = port_at(is_v4 ? wire::kIpv4Source : wire::kIpv6Source, wire::kUdpSourcePort);
  const Port to = port_at(is_v4 ? wire::kIpv4Destination : wire::kIpv6Destination, wire::kUdpDestinationPort);
  return from_guest ? Conversation(from, to) : Conversation(to, from);
}

Uplink::Port Uplink::guest_port(const PortForward& forward) const {
  const auto named = IPPrefix::parse(forward.guest_address);
  Port port{.type = named && named->is_ipv6 ? wire::kTypeIpv6 : wire::kTypeIpv4,
            .number = forward.guest_port};
  if (named) std::ranges::copy(std::as_bytes(std::span(named->address)), port.address.begin());
  if (port.address != decltype(port.address)()) return port;
  store16(port.address, 0, static_cast<uint16_t>(addresses_.guest >> 16));
  store16(port.address, 2, static_cast<uint16_t>(addresses_.guest));
  return port;
}

void Uplink::add_forward(const PortForward& forward) {
  ++forwards_[guest_port(forward)];
}

void Uplink::remove_forward(const PortForward& forward) {
  const Port port = guest_port(forward);
  const auto found = forwards_.find(port);
  if (found == forwards_.end() || --found->second != 0) return;
  forwards_.erase(found);
  std::erase_if(from_outside_, [&](const Conversation& one) { return one.first == port; });
}

void Uplink::see_to_guest(Bytes frame) {
  if (forwards_.empty()) return;
  const auto packet = parse(frame);
  if (!packet || packet->network.empty()) return;
  Bytes datagram = packet->protocol == wire::kProtocolUdp ? packet->transport : Bytes();
  if (is_first_part(*packet)) datagram = packet->network.subspan(wire::kIpv4Size);
  if (datagram.size() < wire::kUdpSize) return;
  const Conversation conversation = conversation_of(*packet, false, datagram);
  if (!forwards_.contains(conversation.first)) return;
  // Who floods a guest interrupts what others began.
  if (from_outside_.size() >= kMostFromOutside) from_outside_.clear();
  from_outside_.insert(conversation);
}

void Uplink::opened(int socket) {
  if (!current_) return;  // A port forward's.
  // With both open this can't fail.
  if (current_->is_outside && !bind_to(socket, interface_)) ::dup3(nowhere_.get(), socket, O_CLOEXEC);
  if (!current_->port) return;
  uses_[*current_->port] = {.socket = socket, .is_outside = current_->is_outside};
  ports_[socket] = *current_->port;
}

void Uplink::closed(int socket) {
  const auto port = ports_.find(socket);
  if (port == ports_.end()) return;
  if (const auto use = uses_.find(port->second); use != uses_.end() && use->second.socket == socket)
    uses_.erase(use);
  ports_.erase(port);
}

}  // namespace alcove::network
