// MAC addresses and machine identifiers: random ones, and their texts.
#include <alcove/mac_address.h>
#include <alcove/platform.h>
#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace alcove {
namespace {

template <size_t kSize>
std::array<uint8_t, kSize> random_bytes() {
  std::array<uint8_t, kSize> bytes;
  // Up to 256 bytes come whole (getrandom(2)), unless a signal interrupts the wait just after the host's
  // boot.
  while (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(kSize)) {
    if (errno != EINTR) std::abort();
  }
  return bytes;
}

int hexadecimal_digit(char character) {
  if (character >= '0' && character <= '9') return character - '0';
  if (character >= 'a' && character <= 'f') return character - 'a' + 10;
  if (character >= 'A' && character <= 'F') return character - 'A' + 10;
  return -1;
}

// Reads pairs of digits; `is_separator(i)` tells before which bytes one `separator` stands.
template <size_t kSize, class IsSeparator>
bool parse_bytes(std::string_view text, char separator, IsSeparator is_separator,
                 std::array<uint8_t, kSize>& bytes) {
  size_t position = 0;
  for (size_t index = 0; index < kSize; ++index) {
    if (is_separator(index)) {
      if (position >= text.size() || text[position] != separator) return false;
      ++position;
    }
    if (position + 2 > text.size()) return false;
    const int high = hexadecimal_digit(text[position++]);
    const int low = hexadecimal_digit(text[position++]);
    if (high < 0 || low < 0) return false;
    bytes[index] = static_cast<uint8_t>(high << 4 | low);
  }
  return position == text.size();
}

}  // namespace

Result<MACAddress> MACAddress::parse(std::string_view text) {
  std::array<uint8_t, 6> bytes;
  if (!parse_bytes(text, ':', [](size_t index) { return index > 0; }, bytes)) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, "", "is not a MAC address",
                "like \"52:1a:00:12:34:56\"");
  }
  return MACAddress(bytes);
}

MACAddress MACAddress::random_locally_administered() {
  std::array<uint8_t, 6> bytes = random_bytes<6>();
  bytes[0] = static_cast<uint8_t>((bytes[0] & ~1) | 2);
  return MACAddress(bytes);
}

std::string MACAddress::string() const {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes_[0], bytes_[1], bytes_[2], bytes_[3],
                     bytes_[4], bytes_[5]);
}

GenericMachineIdentifier::GenericMachineIdentifier() : bytes_(random_bytes<16>()) {
  // A version 4 UUID (RFC 9562, section 5.4).
  bytes_[6] = static_cast<uint8_t>((bytes_[6] & 0x0f) | 0x40);
  bytes_[8] = static_cast<uint8_t>((bytes_[8] & 0x3f) | 0x80);
}

Result<GenericMachineIdentifier> GenericMachineIdentifier::from_data(std::span<const std::byte> data) {
  std::array<uint8_t, 16> bytes;
  if (data.size() != bytes.size()) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, "",
                fmt::format("a machine identifier has 16 bytes, not {}", data.size()));
  }
  std::ranges::transform(data, bytes.begin(), [](std::byte byte) { return static_cast<uint8_t>(byte); });
  return GenericMachineIdentifier(bytes);
}

Result<GenericMachineIdentifier> GenericMachineIdentifier::parse(std::string_view text) {
  std::array<uint8_t, 16> bytes;
  const auto after_dash = [](size_t index) { return index == 4 || index == 6 || index == 8 || index == 10; };
  if (!parse_bytes(text, '-', after_dash, bytes)) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, "", "is not a machine identifier",
                "a UUID like \"01234567-89ab-4cde-8f01-23456789abcd\"");
  }
  return GenericMachineIdentifier(bytes);
}

std::vector<std::byte> GenericMachineIdentifier::data_representation() const {
  const auto bytes = std::as_bytes(std::span(bytes_));
  return {bytes.begin(), bytes.end()};
}

std::string GenericMachineIdentifier::string() const {
  std::string text;
  for (size_t index = 0; index < bytes_.size(); ++index) {
    if (index == 4 || index == 6 || index == 8 || index == 10) text += '-';
    text += fmt::format("{:02x}", bytes_[index]);
  }
  return text;
}

}  // namespace alcove
