#pragma once

#include <alcove/error.h>

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "network/nat_addresses.h"
#include "network/packet.h"

namespace alcove::network {

// The one interface of the host's by which a guest's packets leave: NAT's sockets for others than the host
// are bound to it as they are made, before anything is sent by them. NAT uses one socket for all datagrams
// from one of the guest's ports, so that such a port is either for the host and the name server, or for
// others.
class Uplink {
 public:
  // That there is such an interface, and that this process may use it.
  static Result<> check(const std::string& interface);

  Uplink(std::string interface, const NatAddresses& addresses)
      : interface_(std::move(interface)), addresses_(addresses) {}

  // Whether the guest's packet may be sent. If so, sockets that are opened until end() are for it.
  bool begin(const Packet& packet);
  void end() { current_.reset(); }
  // One that cannot be bound is replaced by one that leads nowhere.
  void opened(int socket);
  void closed(int socket);

 private:
  struct Port {
    std::array<std::byte, 16> address{};
    uint16_t type = 0, number = 0;
    auto operator<=>(const Port&) const = default;
  };
  struct Use {
    int socket;
    bool is_outside;
  };
  struct Current {
    bool is_outside;
    std::optional<Port> port;  // Of a datagram.
  };
  bool is_outside(const Packet& packet) const;

  const std::string interface_;
  const NatAddresses addresses_;
  std::optional<Current> current_;
  std::map<Port, Use> uses_;
  std::map<int, Port> ports_;
};

}  // namespace alcove::network
