// EFI firmware's variables, as a file that outlives the machine: boot entries, Secure Boot's keys, settings.
#pragma once

#include <alcove/error.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace alcove {

// A variable (UEFI specification, section 8.2).
struct EFIVariable {
  std::string name;         // In UTF-8.
  std::string vendor;       // Whose name it is: a GUID, "8be4df61-93ca-11d2-aa0d-00e098032b8c".
  uint32_t attributes = 0;  // Bits as in the specification: 1 non-volatile, 2 boot services, 4 run time…
  std::vector<uint8_t> data;

  bool operator==(const EFIVariable&) const = default;
};

// An entry of the firmware's boot manager.
struct EFIBootEntry {
  uint16_t number = 0;      // "Boot0003" has number 3.
  std::string description;  // As boot menus show it.
  std::string file;         // On its disk, e.g. "\EFI\debian\shimx64.efi"; empty if it names none.
  bool active = false;      // Whether the boot manager tries it by itself.

  bool operator==(const EFIBootEntry&) const = default;
};

enum class EFISecureBootState {
  setup_mode,  // No platform key: anything is booted, and an operating system may enrol keys.
  disabled,    // There are keys, but they are not enforced.
  enabled,     // Only what the keys sign is booted, by firmware that has Secure Boot.
};
std::string_view to_string(EFISecureBootState state);  // "setup mode", "disabled", "enabled"

struct EFIVariableStoreCreationOptions {
  bool allow_overwrite = false;  // Whether a file that is there already is replaced.
  // With Microsoft's keys, which sign distributions' loaders: Secure Boot is enabled from the first start.
  // Needs the store with keys that distributions ship beside the firmware.
  bool secure_boot = false;
  std::filesystem::path firmware;  // As EFIBootLoader::firmware, whose empty store is copied.
};

// A file with variables. Machines lock it while they run; two can't share one.
struct EFIVariableStore {
  std::filesystem::path path;

  // Makes a fresh one, as the firmware wants it to be. Fails if the file exists, unless told otherwise, and
  // where there is no firmware.
  static Result<EFIVariableStore> create(const std::filesystem::path& path,
                                         const EFIVariableStoreCreationOptions& options = {});
  // One that exists; fails if the file is not a variable store.
  static Result<EFIVariableStore> open(const std::filesystem::path& path);

  // What the file holds now. Firmware that runs may be in the middle of a change.
  Result<std::vector<EFIVariable>> variables() const;
  // In the order in which the boot manager tries them, then those that it does not try.
  Result<std::vector<EFIBootEntry>> boot_entries() const;
  Result<EFISecureBootState> secure_boot_state() const;

  bool operator==(const EFIVariableStore&) const = default;
};

}  // namespace alcove
