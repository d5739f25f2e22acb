// What all ACPI tables have in common (ACPI 6.5, 5.2.6).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "spec/acpi.h"

namespace alcove::firmware {

// Fills in who made it; `signature` has four characters.
spec::acpi::TableHeader table_header(std::string_view signature, uint8_t revision);

std::vector<uint8_t> begin_table(std::string_view signature, uint8_t revision);

template <class T>
void append_value(std::vector<uint8_t>& out, const T& value) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

// Sets the length and the checksum.
void finish_table(std::vector<uint8_t>& table);

// What makes the sum of all bytes zero.
uint8_t checksum(std::span<const uint8_t> bytes);

}  // namespace alcove::firmware
