// How the machine comes to its operating system.
#pragma once

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

using BootLoader = std::variant<LinuxBootLoader>;

}  // namespace alcove
