// What kind of computer the machine is, and its identity.
#pragma once

#include <alcove/error.h>

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace alcove {

// Who a machine is: guests see it as the system UUID. Keep it (data_representation() or string()) and give it
// back at each start, else the guest believes to be on other hardware. No two running machines may share one.
class GenericMachineIdentifier {
 public:
  GenericMachineIdentifier();  // A new random identity.

  // From what data_representation() gave; 16 bytes, else invalid_virtual_machine_configuration.
  static Result<GenericMachineIdentifier> from_data(std::span<const std::byte> data);
  // From what string() gave: a UUID, "01234567-89ab-4cde-8f01-23456789abcd", in either case.
  static Result<GenericMachineIdentifier> parse(std::string_view text);

  std::vector<std::byte> data_representation() const;
  std::string string() const;
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }  // In the order of the text form.

  auto operator<=>(const GenericMachineIdentifier&) const = default;

 private:
  explicit GenericMachineIdentifier(const std::array<uint8_t, 16>& bytes) : bytes_(bytes) {}
  std::array<uint8_t, 16> bytes_;
};

// A computer of the host's own kind: on x86-64 hosts a PC with PCI Express.
struct GenericPlatformConfiguration {
  GenericMachineIdentifier machine_identifier;  // Random by default: give the stored one for a known machine.

  bool operator==(const GenericPlatformConfiguration&) const = default;
};

using PlatformConfiguration = std::variant<GenericPlatformConfiguration>;

}  // namespace alcove
