#include "firmware/table.h"

#include <cstddef>
#include <cstring>

namespace alcove::firmware {

using spec::acpi::TableHeader;

TableHeader table_header(std::string_view signature, uint8_t revision) {
  TableHeader header;
  std::memcpy(header.signature.data(), signature.data(), header.signature.size());
  header.revision = revision;
  header.oem_id = {'A', 'L', 'C', 'O', 'V', 'E'};
  header.oem_table_id = {'A', 'L', 'C', 'O', 'V', 'E', 'P', 'C'};
  header.creator_id = {'A', 'L', 'C', 'V'};
  return header;
}

std::vector<uint8_t> begin_table(std::string_view signature, uint8_t revision) {
  std::vector<uint8_t> table;
  append_value(table, table_header(signature, revision));
  return table;
}

uint8_t checksum(std::span<const uint8_t> bytes) {
  uint8_t sum = 0;
  for (const uint8_t byte : bytes) sum = static_cast<uint8_t>(sum + byte);
  return static_cast<uint8_t>(-sum);
}

void finish_table(std::vector<uint8_t>& table) {
  const auto length = static_cast<uint32_t>(table.size());
  std::memcpy(table.data() + offsetof(TableHeader, length), &length, sizeof length);
  uint8_t& sum = table[offsetof(TableHeader, checksum)];
  sum = 0;
  sum = checksum(table);
}

}  // namespace alcove::firmware
