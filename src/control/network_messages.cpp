#include "control/network_messages.h"

#include <fmt/format.h>

#include "control/messages.h"

namespace alcove::control {

namespace {

bool flag_of(const Json& tree, std::string_view name) {
  return member_of(tree, name) == true;
}

}  // namespace

Json to_json(const JoinRequest& request) {
  return {{"request", "join"},
          {"network", request.network},
          {"mac_address", request.mac_address.string()},
          {"host_name", request.host_name},
          {"reaches_peers", request.reaches_peers}};
}

std::optional<JoinRequest> join_request_from_json(const Json& tree) {
  const auto mac_address = MACAddress::parse(text_of(tree, "mac_address").value_or(""));
  if (text_of(tree, "request") != "join" || !mac_address) return {};
  return JoinRequest{.network = text_of(tree, "network").value_or(""),
                     .mac_address = *mac_address,
                     .host_name = text_of(tree, "host_name").value_or(""),
                     .reaches_peers = flag_of(tree, "reaches_peers")};
}

Json to_json(const network::NatAddresses& addresses) {
  uint64_t prefix = 0;
  for (uint8_t byte : addresses.prefix) prefix = prefix << 8 | byte;
  return {{"address", addresses.guest}, {"network", addresses.network},     {"mask", addresses.mask},
          {"prefix", prefix},           {"host_name", addresses.host_name}, {"domain", addresses.domain}};
}

Result<network::NatAddresses> addresses_from_text(std::string_view text) {
  const auto tree = config::parse_json(text, "attachment");
  if (!tree) return std::unexpected(tree.error());
  if (tree->is_object() && tree->contains("error")) return std::unexpected(error_from_json((*tree)["error"]));
  const auto number = [&](const char* name) { return number_of(*tree, name); };
  const auto address = number("address"), network = number("network"), mask = number("mask");
  const auto prefix = number("prefix");
  if (!address || !network || !mask || !prefix)
    return fail(ErrorCode::internal, "attachment", "the network's process did not answer as it should");
  network::NatAddresses result{.network = static_cast<uint32_t>(*network),
                               .mask = static_cast<uint32_t>(*mask),
                               .guest = static_cast<uint32_t>(*address),
                               .prefix = {},
                               .host_name = text_of(*tree, "host_name").value_or(""),
                               .domain = text_of(*tree, "domain").value_or("")};
  for (size_t i = 0; i < result.prefix.size(); ++i)
    result.prefix[i] = static_cast<uint8_t>(*prefix >> (56 - 8 * i));
  return result;
}

Json to_json(const SharedNetwork& network) {
  Json members = Json::array();
  for (const SharedNetwork::Member& member : network.members)
    members.push_back({{"mac_address", member.mac_address.string()},
                       {"host_name", member.host_name},
                       {"address", member.address},
                       {"reaches_peers", member.reaches_peers}});
  return {{"subnet", network.subnet}, {"members", std::move(members)}};
}

SharedNetwork shared_network_from_json(const Json& tree) {
  SharedNetwork result{.name = {}, .subnet = text_of(tree, "subnet").value_or(""), .members = {}};
  for (const Json& member : member_of(tree, "members")) {
    const auto mac_address = MACAddress::parse(text_of(member, "mac_address").value_or(""));
    if (!mac_address) continue;
    result.members.push_back({.mac_address = *mac_address,
                              .host_name = text_of(member, "host_name").value_or(""),
                              .address = text_of(member, "address").value_or(""),
                              .reaches_peers = flag_of(member, "reaches_peers")});
  }
  return result;
}

}  // namespace alcove::control
