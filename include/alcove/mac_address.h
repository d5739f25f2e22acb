// The hardware address of a network device.
#pragma once

#include <alcove/error.h>

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace alcove {

// Six bytes, in the order in which they go over the wire. A plain value; safe to use from any thread.
class MACAddress {
 public:
  constexpr MACAddress() = default;  // 00:00:00:00:00:00, which no device can have.
  constexpr explicit MACAddress(std::array<uint8_t, 6> bytes) : bytes_(bytes) {}

  // "aa:bb:cc:dd:ee:ff" in either case; anything else is invalid_virtual_machine_configuration.
  static Result<MACAddress> parse(std::string_view text);
  // A unicast address from the locally administered range. Not promised to be unique.
  static MACAddress random_locally_administered();

  constexpr const std::array<uint8_t, 6>& bytes() const { return bytes_; }
  std::string string() const;  // In lower case.

  constexpr bool is_broadcast() const {
    for (uint8_t byte : bytes_) {
      if (byte != 0xff) return false;
    }
    return true;
  }
  constexpr bool is_multicast() const { return (bytes_[0] & 1) != 0; }  // The broadcast address is one, too.
  constexpr bool is_unicast() const { return !is_multicast(); }
  constexpr bool is_locally_administered() const { return (bytes_[0] & 2) != 0; }
  constexpr bool is_universally_administered() const { return !is_locally_administered(); }

  constexpr auto operator<=>(const MACAddress&) const = default;

 private:
  std::array<uint8_t, 6> bytes_{};
};

}  // namespace alcove
