// Where this host has EFI firmware for machines.
#pragma once

#include <alcove/error.h>

#include <cstdint>
#include <filesystem>

namespace alcove::config {

struct EfiFirmware {
  std::filesystem::path code;       // Without its variables.
  std::filesystem::path variables;  // An empty store for it; may not exist.
};

// With less memory than this OVMF stops without a word.
inline constexpr uint64_t kLeastEfiMemory = 128 << 20;

// The firmware that was configured, else $ALCOVE_FIRMWARE, else the first that distributions install. The
// error has no `where`.
Result<EfiFirmware> find_efi_firmware(const std::filesystem::path& configured);

// The store with Microsoft's keys that lies beside an empty one; empty if there is none.
std::filesystem::path enrolled_variables(const std::filesystem::path& empty);

}  // namespace alcove::config
