// What a guest may send to whom.
#pragma once

#include <alcove/network.h>

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "network/packet.h"
#include "support/ip_prefix.h"

namespace alcove::network {

// NetworkRules as frames are judged by them. What a device's own part of the network needs passes: ARP,
// DHCP's broadcasts, IPv6's neighbour discovery; so do answers to what came from outside. Frames that would
// hide what they are from the rules don't: of other kinds, with extension headers or source routes.
class Rules {
 public:
  // The rules have been validated.
  explicit Rules(const std::vector<NetworkRule>& rules);

  bool is_empty() const { return rules_.empty(); }
  // Of the guest's.
  bool allows(Bytes frame);
  // For the guest: it may be answered.
  void see_to_guest(Bytes frame);

 private:
  struct Rule {
    NetworkRuleAction action;
    std::optional<IPPrefix> destination;
    std::optional<uint8_t> protocol;  // TCP or UDP.
    uint16_t first_port, last_port;
  };
  // Both ends of a conversation. Where there are no ports, its number.
  struct Flow {
    uint8_t protocol = 0;
    uint16_t own_port = 0, other_port = 0;
    std::array<uint8_t, 16> other{};
    auto operator<=>(const Flow&) const = default;
  };

  // Whom a packet is for, or from.
  struct Other {
    Bytes address;
    uint8_t protocol = 0;
    uint16_t port = 0;
    bool is_part = false;  // Of a datagram.
  };

  static bool fits(const Rule& rule, const Other& other);
  static Other other_of(const Packet& packet, bool from_guest);
  static std::optional<Flow> flow_of(const Packet& packet, bool from_guest);
  bool may_address(const Other& other) const;
  void remember(const Flow& flow);

  std::vector<Rule> rules_;
  // Begun from outside, by those whom the guest may not address; and when each was used last.
  std::map<Flow, uint64_t> flows_;
  uint64_t now_ = 0;  // Counts uses.
};

}  // namespace alcove::network
