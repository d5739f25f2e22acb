#include "support/ip_prefix.h"

#include <arpa/inet.h>

#include <charconv>
#include <string>

namespace alcove {

namespace {

constexpr unsigned kIpv4Bits = 32, kIpv6Bits = 128, kByteBits = 8;

// Of the byte at `index`, those bits that belong to a prefix of that length.
uint8_t mask_at(unsigned length, size_t index) {
  const size_t begin = index * kByteBits;
  if (length >= begin + kByteBits) return 0xff;
  if (length <= begin) return 0;
  return static_cast<uint8_t>(0xff << (kByteBits - (length - begin)));
}

}  // namespace

std::optional<IPPrefix> IPPrefix::parse(std::string_view text) {
  IPPrefix prefix;
  const size_t slash = text.find('/');
  const std::string address(text.substr(0, slash));
  if (::inet_pton(AF_INET6, address.c_str(), prefix.address.data()) == 1) {
    prefix.is_ipv6 = true;
  } else if (::inet_pton(AF_INET, address.c_str(), prefix.address.data()) != 1) {
    return {};
  }
  const unsigned most = prefix.is_ipv6 ? kIpv6Bits : kIpv4Bits;
  prefix.length = most;
  if (slash != text.npos) {
    const std::string_view number = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), prefix.length);
    if (error != std::errc() || end != number.data() + number.size() || prefix.length > most) return {};
  }
  for (size_t index = 0; index < prefix.address.size(); ++index)
    if (prefix.address[index] & ~mask_at(prefix.length, index)) return {};
  return prefix;
}

bool IPPrefix::contains(std::span<const std::byte> other) const {
  if (other.size() * kByteBits != (is_ipv6 ? kIpv6Bits : kIpv4Bits)) return false;
  for (size_t index = 0; index < other.size(); ++index)
    if ((std::to_integer<uint8_t>(other[index]) ^ address[index]) & mask_at(length, index)) return false;
  return true;
}

}  // namespace alcove
