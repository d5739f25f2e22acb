// Sizes and port forwards as people write them.
#include <alcove/literals.h>
#include <alcove/virtual_machine_configuration.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>

#include "config/names.h"

namespace alcove {
namespace {

using namespace literals;

std::unexpected<Error> invalid(std::string what, std::string hint) {
  return fail(ErrorCode::invalid_virtual_machine_configuration, "", std::move(what), std::move(hint));
}

constexpr std::array<std::pair<char, uint64_t>, 4> kUnits = {
    {{'T', 1_TiB}, {'G', 1_GiB}, {'M', 1_MiB}, {'K', 1_KiB}}};

char upper(char character) {
  return character >= 'a' && character <= 'z' ? static_cast<char>(character - 'a' + 'A') : character;
}

// "", "G", "GB" and "GiB" in any case, all of them binary; nothing for another text.
std::optional<uint64_t> unit_factor(std::string_view unit) {
  if (unit.empty()) return 1;
  if (unit.size() == 1 && upper(unit[0]) == 'B') return 1;
  for (const auto& [letter, factor] : kUnits) {
    if (upper(unit[0]) != letter) continue;
    const std::string_view rest = unit.substr(1);
    if (rest.empty() || (rest.size() == 1 && upper(rest[0]) == 'B')) return factor;
    if (rest.size() == 2 && upper(rest[0]) == 'I' && upper(rest[1]) == 'B') return factor;
  }
  return {};
}

// Takes "[ADDRESS:]PORT" off the front of `text`, up to a colon or the end.
bool take_endpoint(std::string_view& text, std::string& address, uint16_t& port) {
  if (text.starts_with('[')) {
    const size_t end = text.find("]:");
    if (end == std::string_view::npos) return false;
    address = text.substr(1, end - 1);
    text.remove_prefix(end + 2);
  } else {
    // A part that is followed by another and has a dot is an address.
    const size_t colon = text.find(':');
    if (colon != std::string_view::npos && text.substr(0, colon).find('.') != std::string_view::npos) {
      address = text.substr(0, colon);
      text.remove_prefix(colon + 1);
    }
  }
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (status != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (text.empty()) return true;
  if (text.front() != ':') return false;
  text.remove_prefix(1);
  return true;
}

std::string endpoint(const std::string& address, uint16_t port) {
  if (address.empty()) return fmt::format("{}", port);
  const bool is_ipv6 = address.find(':') != std::string::npos;
  return is_ipv6 ? fmt::format("[{}]:{}", address, port) : fmt::format("{}:{}", address, port);
}

}  // namespace

Result<uint64_t> parse_size(std::string_view text) {
  const auto malformed = [] { return invalid("is not a size", "like \"4 GiB\", \"512M\" or \"1048576\""); };
  uint64_t number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (status == std::errc::result_out_of_range) return invalid("is too large a size", "");
  if (status != std::errc()) return malformed();
  std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  if (unit.starts_with(' ')) unit.remove_prefix(1);
  const auto factor = unit_factor(unit);
  if (!factor) return malformed();
  if (number > std::numeric_limits<uint64_t>::max() / *factor) return invalid("is too large a size", "");
  return number * *factor;
}

std::string format_size(uint64_t bytes) {
  for (const auto& [letter, factor] : kUnits) {
    if (bytes != 0 && bytes % factor == 0) return fmt::format("{} {}iB", bytes / factor, letter);
  }
  return fmt::format("{}", bytes);
}

Result<PortForward> parse_port_forward(std::string_view text) {
  const auto malformed = [] {
    return invalid("is not a port forward",
                   "like \"tcp:2222:22\": PROTOCOL:[ADDRESS:]PORT:[ADDRESS:]PORT, host first");
  };
  PortForward forward;
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return malformed();
  const auto protocol = from_string<TransportProtocol>(text.substr(0, colon));
  if (!protocol) return malformed();
  forward.protocol = *protocol;
  text.remove_prefix(colon + 1);
  if (!take_endpoint(text, forward.host_address, forward.host_port) || text.empty() ||
      !take_endpoint(text, forward.guest_address, forward.guest_port) || !text.empty()) {
    return malformed();
  }
  if (forward.guest_port == 0) return invalid("the guest's port can't be 0", "");
  return forward;
}

std::string format_port_forward(const PortForward& forward) {
  return fmt::format("{}:{}:{}", to_string(forward.protocol),
                     endpoint(forward.host_address, forward.host_port),
                     endpoint(forward.guest_address, forward.guest_port));
}

}  // namespace alcove
