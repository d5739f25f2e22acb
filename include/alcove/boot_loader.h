// How the machine comes to its operating system.
#pragma once

#include <alcove/efi.h>

#include <filesystem>
#include <string>
#include <variant>

namespace alcove {

// Loads a Linux kernel directly, without firmware.
struct LinuxBootLoader {
  // On x86-64 a bzImage or an ELF vmlinux, also inside gzip or zstd. Required.
  std::filesystem::path kernel;
  // The kernel's parameters ("console=ttyS0 root=/dev/vda1"); at most 2047 bytes, no NUL.
  std::string command_line;
  // The initial RAM disk (initrd, initramfs); empty means none.
  std::filesystem::path initial_ramdisk;

  bool operator==(const LinuxBootLoader&) const = default;
};

// Starts EFI firmware, which finds the operating system: its boot manager tries the entries that installers
// have left in the variable store, and the disks, in the order of storage_devices.
struct EFIBootLoader {
  // Where the firmware keeps its variables. An empty path means fresh ones in memory, that are gone when the
  // machine stops.
  EFIVariableStore variable_store;
  // The firmware's code (such as Debian's OVMF_CODE_4M.fd). Empty means: $ALCOVE_FIRMWARE, else where
  // distributions install OVMF.
  std::filesystem::path firmware;

  bool operator==(const EFIBootLoader&) const = default;
};

using BootLoader = std::variant<LinuxBootLoader, EFIBootLoader>;

}  // namespace alcove
