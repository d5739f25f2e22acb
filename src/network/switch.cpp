#include "network/switch.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "network/name_service.h"
#include "network/shared_addresses.h"
#include "spec/internet.h"

namespace alcove::network {

namespace wire = spec::internet;

namespace {

bool is_same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::string text_of(const MACAddress& address) {
  return fmt::format("{:02x}", fmt::join(address.bytes(), ":"));
}

bool is_dhcp_request(Bytes frame) {
  const auto packet = parse(frame);
  return packet && packet->type == wire::kTypeIpv4 && packet->protocol == wire::kProtocolUdp &&
         load16(packet->transport, wire::kUdpDestinationPort) == wire::kDhcpServerPort;
}

}  // namespace

bool is_host_name(std::string_view text) {
  if (text.empty() || text.size() > wire::kDnsLongestLabel || text.front() == '-' || text.back() == '-')
    return false;
  return std::ranges::all_of(text, [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
  });
}

Result<Switch::Port> Switch::join(SwitchMember member) {
  const auto refuse = [](std::string where, std::string what, std::string hint) {
    return fail(ErrorCode::network_error, std::move(where), std::move(what), std::move(hint));
  };
  const auto mac_bytes = std::as_bytes(std::span(member.mac_address.bytes()));
  if (member.mac_address == MACAddress() || !member.mac_address.is_unicast() || is_to_host(mac_bytes))
    return refuse("mac_address", fmt::format("{} can't be on this network", text_of(member.mac_address)),
                  "choose a unicast address that does not begin with 52:55 or 52:56");
  if (by_mac_.contains(member.mac_address))
    return refuse("mac_address", fmt::format("{} is on the network already", text_of(member.mac_address)),
                  "each device needs its own");
  if (!member.host_name.empty() && !is_host_name(member.host_name))
    return refuse("attachment.host_name", fmt::format("\"{}\" is no host name", member.host_name),
                  "letters, digits and '-', at most 63");
  constexpr auto kAddress = "attachment.network.ipv4_address";
  if (member.address != 0 && !addresses_.is_guests(member.address))
    return refuse(
        kAddress,
        fmt::format("{} is no guest's address in {}", address_text(member.address), subnet_text(addresses_)),
        "choose one in it, but not its first, .2, .3 or last");
  std::set<uint32_t> taken;
  for (const auto& [port, other] : members_) {
    taken.insert(other.member.address);
    if (member.address != 0 && other.member.address == member.address)
      return refuse(kAddress,
                    fmt::format("{} is {}'s already", address_text(member.address),
                                other.member.host_name.empty() ? text_of(other.member.mac_address)
                                                               : other.member.host_name),
                    "choose another: those that the network chooses itself are not at its beginning");
    if (!member.host_name.empty() && is_same_name(other.member.host_name, member.host_name))
      return refuse("attachment.host_name", fmt::format("\"{}\" is on the network already", member.host_name),
                    "choose another");
  }
  if (member.address == 0) member.address = member_address(addresses_, member.mac_address, taken);
  if (member.address == 0 || members_.size() == kMostMembers)
    return refuse("attachment.network_name", fmt::format("the network has {} members", members_.size()),
                  "take another network");
  NatAddresses own = addresses_;
  own.guest = member.address;
  const Port port = next_port_++;
  by_mac_[member.mac_address] = port;
  const SourceGuard guard(member.mac_address, own);
  members_.emplace(port, Connected{.member = std::move(member), .guard = guard, .claims = {}});
  return port;
}

void Switch::leave(Port port) {
  const auto found = members_.find(port);
  if (found == members_.end()) return;
  by_mac_.erase(found->second.member.mac_address);
  for (const Ipv6Address& address : found->second.claims) claims_.erase(address);
  members_.erase(found);
}

std::vector<SwitchMember> Switch::members() const {
  std::vector<SwitchMember> result;
  for (const auto& [port, connected] : members_) result.push_back(connected.member);
  return result;
}

bool Switch::claim(Port port, const std::optional<Ipv6Address>& address) {
  if (!address) return true;
  const auto [known, is_new] = claims_.try_emplace(*address, port);
  if (!is_new) return known->second == port;
  auto& own = members_.at(port).claims;
  own.push_back(*address);
  if (own.size() > kMostClaims) {
    claims_.erase(own.front());
    own.pop_front();
  }
  return true;
}

void Switch::receive(Port from, Bytes frame) {
  const auto found = members_.find(from);
  if (found == members_.end()) return;
  const SourceGuard::Verdict verdict = found->second.guard.judge(frame);
  if (!verdict.honest || !claim(from, verdict.source) || !claim(from, verdict.target)) {
    ++refused_frames_;
    return;
  }
  const SwitchMember& member = found->second.member;
  if (answer_name(from, member, frame) || !member.reaches_peers || is_to_host(frame)) return;
  // Each has a DHCP server of its own.
  if (!is_dhcp_request(frame)) forward(from, frame);
}

void Switch::forward(Port from, Bytes frame) {
  if (is_to_group(frame)) {
    for (const auto& [port, connected] : members_) {
      if (port != from && connected.member.reaches_peers) output_(port, frame);
    }
    return;
  }
  std::array<uint8_t, 6> destination;
  std::ranges::copy(frame.first(6), std::as_writable_bytes(std::span(destination)).begin());
  const auto found = by_mac_.find(MACAddress(destination));
  if (found != by_mac_.end() && found->second != from && members_.at(found->second).member.reaches_peers)
    output_(found->second, frame);
}

bool Switch::answer_name(Port from, const SwitchMember& member, Bytes frame) {
  const Bytes message = dns_query(frame, addresses_);
  if (message.empty()) return false;
  const auto question = parse_dns_question(message);
  const auto host = question ? local_host(*question, addresses_.domain) : std::nullopt;
  if (host) output_(from, dns_answer_frame(frame, dns_answer(message, *question, find(member, *host))));
  return true;
}

// Its own address, and its peers'. 0: the name is there, but has no address.
std::optional<uint32_t> Switch::find(const SwitchMember& asker, const std::string& host) const {
  if (host.empty()) return 0;
  for (const auto& [port, connected] : members_) {
    const SwitchMember& member = connected.member;
    if (!is_same_name(member.host_name, host)) continue;
    if (member.mac_address == asker.mac_address || (member.reaches_peers && asker.reaches_peers))
      return member.address;
  }
  return {};
}

}  // namespace alcove::network
