// What a machine's application and the process of a shared network say to each other, over a socket that
// keeps messages apart:
//
// Application: {request: join, network, mac_address, host_name, reaches_peers, wishes}
//            | {request: list}
// Network:     {address, network, mask, prefix, mtu, domain, host_name}   joined: from then on there are
// frames
//            | {error: {code, where, what, hint}}
//            | {subnet, ipv6_prefix, maximum_transmission_unit, members: [{mac_address, host_name, address,
//            reaches_peers}]}
//
// `wishes` are those of PrivateNetwork's members that the network decides about. The answer to a join is for
// the machine's process, which gets the socket: the application only looks whether it is an error.
#pragma once

#include <alcove/error.h>
#include <alcove/mac_address.h>
#include <alcove/network.h>

#include <optional>
#include <string>
#include <string_view>

#include "config/json.h"
#include "network/nat_addresses.h"

namespace alcove::control {

using config::Json;

// Neither a question nor an answer is longer.
inline constexpr size_t kLargestNetworkMessage = 256 * 1024;

struct JoinRequest {
  std::string network;
  MACAddress mac_address;
  std::string host_name;
  bool reaches_peers = false;
  PrivateNetwork wishes;  // Subnet, prefix, address and MTU.
};
Json to_json(const JoinRequest& request);
// Nothing, if it is another request or not well-formed.
std::optional<JoinRequest> join_request_from_json(const Json& tree);

Json to_json(const network::NatAddresses& addresses);
// Of a message's text; its error if it is one.
Result<network::NatAddresses> addresses_from_text(std::string_view text);

Json to_json(const SharedNetwork& network);
// `name` is not in it.
SharedNetwork shared_network_from_json(const Json& tree);

}  // namespace alcove::control
