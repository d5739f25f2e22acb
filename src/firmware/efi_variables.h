// Reads the variable store of EFI firmware. The bytes come from a guest, and may be anything.
#pragma once

#include <alcove/efi.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace alcove::firmware {

// The variables that are valid. Errors have no `where`.
Result<std::vector<EFIVariable>> parse_variables(std::span<const uint8_t> store);

std::vector<EFIBootEntry> boot_entries(std::span<const EFIVariable> variables);
EFISecureBootState secure_boot_state(std::span<const EFIVariable> variables);

}  // namespace alcove::firmware
