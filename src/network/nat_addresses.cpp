#include "network/nat_addresses.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "support/ip_prefix.h"

namespace alcove::network {

namespace {

constexpr uint32_t kUsualGuest = 15, kFirstGuest = 4;

uint32_t number_of(const IPPrefix& prefix) {
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i) number = number << 8 | prefix.address[i];
  return number;
}

}  // namespace

bool NatAddresses::has_in_prefix(std::span<const std::byte> address) const {
  return std::ranges::equal(address.first(8), std::as_bytes(std::span(prefix)));
}

std::string address_text(uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 0xff, address >> 8 & 0xff, address & 0xff);
}

std::optional<uint32_t> address_from_text(const std::string& text) {
  const auto parsed = text.find('/') == text.npos ? IPPrefix::parse(text) : std::nullopt;
  if (!parsed || parsed->is_ipv6) return {};
  return number_of(*parsed);
}

std::string subnet_text(const NatAddresses& network) {
  return fmt::format("{}/{}", address_text(network.network), std::popcount(network.mask));
}

std::string prefix_text(const NatAddresses& network) {
  in6_addr address{};
  std::ranges::copy(network.prefix, address.s6_addr);
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(AF_INET6, &address, text, sizeof text);
  return fmt::format("{}/64", text);
}

NatAddresses with_wishes(NatAddresses network, const PrivateNetwork& wishes) {
  const auto subnet = IPPrefix::parse(wishes.ipv4_subnet), prefix = IPPrefix::parse(wishes.ipv6_prefix);
  if (subnet && !subnet->is_ipv6 && subnet->length >= 8 && subnet->length <= 28) {
    network.network = number_of(*subnet);
    network.mask = ~uint32_t{0} << (32 - subnet->length);
    network.guest = network.network | (subnet->length == 28 ? kFirstGuest : kUsualGuest);
  }
  if (prefix && prefix->is_ipv6 && prefix->length == 64)
    std::ranges::copy_n(prefix->address.begin(), network.prefix.size(), network.prefix.begin());
  if (const auto address = address_from_text(wishes.ipv4_address); address && network.is_guests(*address))
    network.guest = *address;
  if (wishes.maximum_transmission_unit != 0)
    network.mtu = static_cast<uint16_t>(std::min<uint32_t>(wishes.maximum_transmission_unit, UINT16_MAX));
  return network;
}

}  // namespace alcove::network
