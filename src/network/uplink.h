#pragma once

#include <alcove/error.h>
#include <alcove/network.h>

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "network/nat_addresses.h"
#include "network/packet.h"
#include "support/unique_fd.h"

namespace alcove::network {

// The one interface of the host's by which a guest's packets leave: NAT's sockets for others than the host
// are bound to it as they are made, before anything is sent by them. NAT uses one socket for all datagrams
// from one of the guest's ports, so that such a port is either for the host and the name server, or for
// others.
class Uplink {
 public:
  // That there is such an interface, and that this process may use it.
  static Result<> check(const std::string& interface);

  Uplink(std::string interface, const NatAddresses& addresses);

  // Whether the guest's packet may be sent. If so, sockets that are opened until end() are for it.
  bool begin(const Packet& packet);
  void end() { current_.reset(); }
  // One that cannot be bound is replaced by one that leads nowhere.
  void opened(int socket);
  void closed(int socket);

  // NAT sends by a forward's socket, which is not bound, what the guest sends from the forwarded port: such a
  // port is for the host, and for those that wrote to it. Of forwards for UDP.
  void add_forward(const PortForward& forward);
  void remove_forward(const PortForward& forward);
  // A frame for the guest.
  void see_to_guest(Bytes frame);

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
  using Conversation = std::pair<Port, Port>;  // The guest's, and the other.
  bool is_outside(const Packet& packet) const;
  Port guest_port(const PortForward& forward) const;
  static Conversation conversation_of(const Packet& packet, bool from_guest, Bytes datagram);

  const std::string interface_;
  const NatAddresses addresses_;
  // Made before it is needed: there may be no descriptor for it then.
  UniqueFd nowhere_;
  std::optional<Current> current_;
  std::map<Port, Use> uses_;
  std::map<int, Port> ports_;
  std::map<Port, size_t> forwards_;  // How many there are to it.
  std::set<Conversation> from_outside_;
};

}  // namespace alcove::network
