// Port forwards of SlirpStack.
#include <fmt/format.h>
#include <libslirp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "network/slirp_stack.h"

namespace alcove::network {
namespace {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size() const { return storage.ss_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6); }
  bool is_any_ipv6() const {
    return storage.ss_family == AF_INET6 &&
           IN6_IS_ADDR_UNSPECIFIED(&reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr);
  }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

// From a numeric address; an empty one is the family's "any". Nothing if it is none.
std::optional<SocketAddress> socket_address(const std::string& text, uint16_t port,
                                            sa_family_t family_if_empty) {
  SocketAddress address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  in_addr any4{};
  in6_addr any6 = in6addr_any;
  if ((text.empty() && family_if_empty == AF_INET) || inet_pton(AF_INET, text.c_str(), &any4) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    v4->sin_addr = any4;
    return address;
  }
  if (text.empty() || inet_pton(AF_INET6, text.c_str(), &any6) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    v6->sin6_addr = any6;
    return address;
  }
  return std::nullopt;
}

int flags(const PortForward& forward) {
  return (forward.protocol == TransportProtocol::udp ? SLIRP_HOSTFWD_UDP : 0) | SLIRP_HOSTFWD_V6ONLY;
}

Error bind_error(const PortForward& forward, int number) {
  const bool tcp = forward.protocol == TransportProtocol::tcp;
  const std::string port =
      fmt::format("{} port {} of {}", tcp ? "TCP" : "UDP", forward.host_port, forward.host_address);
  Error error{.code = ErrorCode::network_error, .where = "host_port", .what = {}, .hint = {}};
  switch (number) {
    case EADDRINUSE:
      error.what = port + " is in use";
      error.hint = fmt::format("`ss -{}lnp` shows by whom; choose another, or 0 for any that is free",
                               tcp ? "t" : "u");
      break;
    case EACCES:
    case EPERM:
      error.what = port + " may not be used by this process";
      error.hint = "choose 1024 or above, or lower net.ipv4.ip_unprivileged_port_start";
      break;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
      error.where = "host_address";
      error.what = fmt::format("the host has no address {}", forward.host_address);
      error.hint = "`ip address` shows those it has; 0.0.0.0 stands for all its IPv4 addresses";
      break;
    default:
      error.what = fmt::format("{} can't be used: {}", port, std::strerror(number));
  }
  return error;
}

uint16_t port_of(int fd) {
  SocketAddress address;
  socklen_t size = sizeof address.storage;
  if (getsockname(fd, address.get(), &size) != 0) return 0;
  return ntohs(
      reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port);  // The same place in both families.
}

std::set<int> polled_sockets(Slirp* slirp) {
  std::set<int> result;
  uint32_t timeout = UINT32_MAX;
  slirp_pollfds_fill(
      slirp, &timeout,
      [](int fd, int, void* set) {
        static_cast<std::set<int>*>(set)->insert(fd);
        return fd;
      },
      &result);
  return result;
}

}  // namespace

Result<PortForward> SlirpStack::listen(const PortForward& forward) {
  auto host = socket_address(forward.host_address, forward.host_port, AF_INET);
  if (!host || forward.host_address.empty()) {
    return fail(ErrorCode::network_error, "host_address",
                fmt::format("\"{}\" is no IPv4 or IPv6 address", forward.host_address),
                "e.g. 127.0.0.1 for this host alone, 0.0.0.0 for all its IPv4 addresses");
  }
  auto guest = socket_address(forward.guest_address, forward.guest_port, host->storage.ss_family);
  if (!guest || guest->storage.ss_family != host->storage.ss_family) {
    return fail(ErrorCode::network_error, "guest_address",
                fmt::format("\"{}\" is no address of host_address's family", forward.guest_address),
                "leave it empty for the address that the guest got by itself");
  }
  // libslirp would learn it from the guest, and does not stand a datagram that comes before.
  if (forward.protocol == TransportProtocol::udp && guest->is_any_ipv6()) {
    return fail(ErrorCode::network_error, "guest_address",
                "none is given, and over IPv6 datagrams are forwarded to a known one alone",
                "name the guest's IPv6 address");
  }
  if (forward.guest_port == 0) {
    return fail(ErrorCode::network_error, "guest_port", "it is 0", "choose 1 to 65535");
  }
  PortForward result = forward;
  std::lock_guard lock(library());
  const std::set<int> before = polled_sockets(slirp_);
  if (slirp_add_hostxfwd(slirp_, host->get(), host->size(), guest->get(), guest->size(), flags(forward)) !=
      0) {
    return std::unexpected(bind_error(forward, errno));
  }
  // libslirp does not tell which port a 0 became: the socket that is new knows.
  for (int fd : polled_sockets(slirp_)) {
    if (!before.contains(fd)) result.host_port = port_of(fd);
  }
  if (uplink_ && forward.protocol == TransportProtocol::udp) uplink_->add_forward(forward);
  fill();
  return result;
}

bool SlirpStack::unlisten(const PortForward& forward) {
  auto host = socket_address(forward.host_address, forward.host_port, AF_INET);
  std::lock_guard lock(library());
  if (!host || slirp_remove_hostxfwd(slirp_, host->get(), host->size(), flags(forward)) != 0) return false;
  if (uplink_ && forward.protocol == TransportProtocol::udp) uplink_->remove_forward(forward);
  return true;
}

}  // namespace alcove::network
