#pragma once

#include <alcove/efi.h>

#include <cstdint>
#include <vector>

#include "support/unique_fd.h"

namespace alcove::client {

// No PC has more flash.
inline constexpr uint64_t kLargestVariableStore = 16 << 20;

// The store's bytes. Errors have no `where`.
Result<std::vector<uint8_t>> read_variable_store(int descriptor);

// A fresh store in memory, for firmware that was configured so (EFIBootLoader::firmware).
Result<UniqueFd> temporary_variable_store(const std::filesystem::path& firmware);

}  // namespace alcove::client
