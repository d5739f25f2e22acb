// What in the ACPI tables changes with the address that they are put at: firmware places them itself.
#pragma once

#include <cstdint>
#include <vector>

#include "firmware/acpi_tables.h"

namespace alcove::firmware {

// A number that is the address of another table, or a checksum over a part of them. Offsets are relative to
// the beginning of all.
struct AcpiPointer {
  uint32_t offset = 0;
  uint8_t size = 0;
};
struct AcpiChecksum {
  uint32_t offset = 0;
  uint32_t start = 0;
  uint32_t length = 0;
};

struct LinkedAcpiTables : AcpiTables {
  std::vector<AcpiPointer> pointers;
  std::vector<AcpiChecksum> checksums;
};

// As build_acpi_tables(), with what links them.
LinkedAcpiTables build_linked_acpi_tables(const BoardDescription& board, uint64_t address);

}  // namespace alcove::firmware
