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
#include "support/unique_fd.h"

namespace alcove::network {

namespace wire = spec::internet;

namespace {

bool bind_to(int socket, const std::string& interface) {
  return ::setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, interface.data(),
                      static_cast<socklen_t>(interface.size())) == 0;
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

// As libslirp sees it: what it takes to the host's loopback, or answers itself, is inside.
bool Uplink::is_outside(const Packet& packet) const {
  if (packet.type == wire::kTypeIpv4) {
    const uint32_t destination = load32(packet.network, wire::kIpv4Destination);
    return destination != addresses_.host() && destination != addresses_.name_server() &&
           destination != UINT32_MAX;
  }
  const Bytes destination = packet.network.subspan(wire::kIpv6Destination, 16);
  const bool is_own = std::ranges::equal(destination.first(8), std::as_bytes(std::span(addresses_.prefix)));
  return !is_own && !std::ranges::equal(destination, std::as_bytes(std::span(wire::kIpv6AllNodes)));
}

bool Uplink::begin(const Packet& packet) {
  current_.reset();
  if (packet.type != wire::kTypeIpv4 && packet.type != wire::kTypeIpv6) return true;
  Current next{.is_outside = is_outside(packet), .port = {}};
  // From which port a part of a datagram comes is not in each.
  if (packet.fragment && load8(packet.network, wire::kIpv4Protocol) == wire::kProtocolUdp) return false;
  if (packet.protocol != wire::kProtocolUdp) {
    current_ = next;
    return true;
  }
  const bool is_v4 = packet.type == wire::kTypeIpv4;
  Port port{.type = packet.type, .number = load16(packet.transport, wire::kUdpSourcePort)};
  std::ranges::copy(packet.network.subspan(is_v4 ? wire::kIpv4Source : wire::kIpv6Source, is_v4 ? 4 : 16),
                    port.address.begin());
  next.port = port;
  const auto use = uses_.find(port);
  if (use != uses_.end() && use->second.is_outside != next.is_outside) return false;
  current_ = next;
  return true;
}

void Uplink::opened(int socket) {
  if (!current_) return;  // A port forward's.
  if (current_->is_outside && !bind_to(socket, interface_)) {
    const UniqueFd nowhere(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ::dup3(nowhere.get(), socket, O_CLOEXEC);
  }
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
