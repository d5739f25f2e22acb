#include "network/shared_addresses.h"

#include <algorithm>
#include <span>

namespace alcove::network {

namespace {

// FNV-1a: not against somebody who seeks collisions, which only cost an address in its place.
uint64_t hash(Bytes bytes) {
  uint64_t result = 0xcbf29ce484222325;
  for (std::byte byte : bytes) result = (result ^ std::to_integer<uint64_t>(byte)) * 0x100000001b3;
  return result ^ result >> 32;
}

// Of a network with 8 bits or fewer for its guests all from .4 on. Of a larger one x.y, with y in 4 to 254
// and, if there are four or more x, neither the first nor the last of these: none looks like a network's or
// broadcast address, and the network's beginning is left to those who choose theirs.
struct Choices {
  uint32_t first_x, count_x, count_y;
  uint32_t size() const { return count_x * count_y; }
};
constexpr uint32_t kFirst = 4, kLast = 254;

Choices choices_of(const NatAddresses& network) {
  const uint32_t high = ~network.mask >> 8;
  if (high == 0)
    return {.first_x = 0, .count_x = 1, .count_y = std::min(~network.mask - 1, kLast) - kFirst + 1};
  const uint32_t spared = high >= 3 ? 1 : 0;
  return {.first_x = spared, .count_x = high + 1 - 2 * spared, .count_y = kLast - kFirst + 1};
}

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
  const Choices choices = choices_of(network);
  const uint64_t wish = hash(std::as_bytes(std::span(mac.bytes()))) % choices.size();
  // Never more steps than there are others, and one.
  for (uint64_t step = 0; step <= taken.size() && step < choices.size(); ++step) {
    const auto choice = static_cast<uint32_t>((wish + step) % choices.size());
    const uint32_t address = network.network | (choices.first_x + choice / choices.count_y) << 8 |
                             (kFirst + choice % choices.count_y);
    if (!taken.contains(address)) return address;
  }
  return 0;
}

bool is_to_host(Bytes frame) {
  return load16(frame, 0) == 0x5255 || load16(frame, 0) == 0x5256;
}

}  // namespace alcove::network
