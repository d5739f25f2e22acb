// Blocks of Internet addresses.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace alcove {

// All addresses of one family that begin with the same bits.
struct IPPrefix {
  bool is_ipv6 = false;
  std::array<uint8_t, 16> address{};  // Network byte order; the first four of IPv4.
  unsigned length = 0;                // In bits.

  // "10.0.0.0/8", "2001:db8::/32", or one address. Nothing, where it is none, or has bits behind its length.
  static std::optional<IPPrefix> parse(std::string_view text);
  // 4 or 16 bytes.
  bool contains(std::span<const std::byte> other) const;

  bool operator==(const IPPrefix&) const = default;
};

}  // namespace alcove
