#include "network/shared_addresses.h"

#include <fmt/format.h>

#include <bit>
#include <span>

namespace alcove::network {

namespace {

// FNV-1a: not against somebody who seeks collisions, which only cost an address in its place.
uint64_t hash(Bytes bytes) {
  uint64_t result = 0xcbf29ce484222325;
  for (std::byte byte : bytes) result = (result ^ std::to_integer<uint64_t>(byte)) * 0x100000001b3;
  return result ^ result >> 32;
}

// Addresses x.y with x in 1 to 254 and y in 4 to 254: none looks like a network's or broadcast address.
constexpr uint32_t kFirst = 4, kLast = 254, kLowChoices = kLast - kFirst + 1;
constexpr uint32_t kChoices = 254 * kLowChoices;

}  // namespace

NatAddresses shared_addresses(const std::string& network_name) {
  const uint64_t number = hash(std::as_bytes(std::span(network_name)));
  NatAddresses result{.network = 10u << 24 | static_cast<uint32_t>(128 + number % 128) << 16,
                      .mask = 0xffff0000,
                      .guest = 0,
                      .prefix = {0xfd},
                      .host_name = {},
                      .domain = network_name + ".internal"};
  for (unsigned i = 1; i <= 5; ++i) result.prefix[i] = static_cast<uint8_t>(number >> (8 * i));
  return result;
}

uint32_t member_address(const NatAddresses& network, MACAddress mac, const std::set<uint32_t>& taken) {
  const auto first = static_cast<uint32_t>(hash(std::as_bytes(std::span(mac.bytes()))) % kChoices);
  for (uint32_t step = 0; step < kChoices; ++step) {
    const uint32_t choice = (first + step) % kChoices;
    const uint32_t address =
        network.network | (1 + choice / kLowChoices) << 8 | (kFirst + choice % kLowChoices);
    if (!taken.contains(address)) return address;
  }
  return 0;
}

std::string address_text(uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 0xff, address >> 8 & 0xff, address & 0xff);
}

std::string subnet_text(const NatAddresses& network) {
  return fmt::format("{}/{}", address_text(network.network), std::popcount(network.mask));
}

bool is_to_host(Bytes frame) {
  return load16(frame, 0) == 0x5255 || load16(frame, 0) == 0x5256;
}

}  // namespace alcove::network
