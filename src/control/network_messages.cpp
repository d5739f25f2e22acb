#include "control/network_messages.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/messages.h"

namespace alcove::control {

namespace {

bool flag_of(const Json& tree, std::string_view name) {
  return member_of(tree, name) == true;
}

uint32_t unit_of(const Json& tree, std::string_view name) {
  return static_cast<uint32_t>(std::min<uint64_t>(number_of(tree, name).value_or(0), UINT16_MAX));
}

PrivateNetwork wishes_from_json(const Json& tree) {
  PrivateNetwork wishes;
  wishes.ipv4_subnet = text_of(tree, "ipv4_subnet").value_or("");
  wishes.ipv6_prefix = text_of(tree, "ipv6_prefix").value_or("");
  wishes.ipv4_address = text_of(tree, "ipv4_address").value_or("");
  wishes.maximum_transmission_unit = unit_of(tree, "maximum_transmission_unit");
  return wishes;
}

}  // namespace

Json to_json(const JoinRequest& request) {
  return {{"request", "join"},
          {"network", request.network},
          {"mac_address", request.mac_address.string()},
          {"host_name", request.host_name},
          {"reaches_peers", request.reaches_peers},
          {"wishes",
           {{"ipv4_subnet", request.wishes.ipv4_subnet},
            {"ipv6_prefix", request.wishes.ipv6_prefix},
            {"ipv4_address", request.wishes.ipv4_address},
            {"maximum_transmission_unit", request.wishes.maximum_transmission_unit}}}};
}

std::optional<JoinRequest> join_request_from_json(const Json& tree) {
  const auto mac_address = MACAddress::parse(text_of(tree, "mac_address").value_or(""));
  if (text_of(tree, "request") != "join" || !mac_address) return {};
  return JoinRequest{.network = text_of(tree, "network").value_or(""),
                     .mac_address = *mac_address,
                     .host_name = text_of(tree, "host_name").value_or(""),
                     .reaches_peers = flag_of(tree, "reaches_peers"),
                     .wishes = wishes_from_json(member_of(tree, "wishes"))};
}

Json to_json(const network::NatAddresses& addresses) {
  uint64_t prefix = 0;
  for (uint8_t byte : addresses.prefix) prefix = prefix << 8 | byte;
  return {{"address", addresses.guest}, {"network", addresses.network},     {"mask", addresses.mask},
          {"prefix", prefix},           {"host_name", addresses.host_name}, {"domain", addresses.domain},
          {"mtu", addresses.mtu}};
}

Result<network::NatAddresses> addresses_from_text(std::string_view text) {
  const auto tree = config::parse_json(text, "attachment");
  if (!tree) return std::unexpected(tree.error());
  if (tree->is_object() && tree->contains("error")) return std::unexpected(error_from_json((*tree)["error"]));
  const auto number = [&](const char* name) { return number_of(*tree, name); };
  const auto address = number("address"), network = number("network"), mask = number("mask");
  const auto prefix = number("prefix");
  if (!address || !network || !mask || !prefix || unit_of(*tree, "mtu") == 0)
    return fail(ErrorCode::internal, "attachment", "the network's process did not answer as it should");
  network::NatAddresses result{.network = static_cast<uint32_t>(*network),
                               .mask = static_cast<uint32_t>(*mask),
                               .guest = static_cast<uint32_t>(*address),
                               .prefix = {},
                               .host_name = text_of(*tree, "host_name").value_or(""),
                               .domain = text_of(*tree, "domain").value_or(""),
                               .mtu = static_cast<uint16_t>(unit_of(*tree, "mtu"))};
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
  return {{"subnet", network.subnet},
          {"ipv6_prefix", network.ipv6_prefix},
          {"maximum_transmission_unit", network.maximum_transmission_unit},
          {"members", std::move(members)}};
}

SharedNetwork shared_network_from_json(const Json& tree) {
  SharedNetwork result{.name = {},
                       .subnet = text_of(tree, "subnet").value_or(""),
                       .ipv6_prefix = text_of(tree, "ipv6_prefix").value_or(""),
                       .maximum_transmission_unit = unit_of(tree, "maximum_transmission_unit"),
                       .members = {}};
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
