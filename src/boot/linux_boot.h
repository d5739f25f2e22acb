// Brings a Linux kernel into a PC's memory and says where its first processor begins.
#pragma once

#include <alcove/error.h>

#include <cstdint>
#include <span>
#include <string>

#include "memory/guest_memory.h"

namespace alcove::boot {

// A line of the memory map that the guest gets; `type` as in spec::linux_boot::E820Type.
struct MemoryRange {
  uint64_t address = 0;
  uint64_t size = 0;
  uint32_t type = 0;
};

struct LinuxBootRequest {
  int kernel = -1;           // Open for reading; its position is neither used nor changed.
  int initial_ramdisk = -1;  // The same; -1 for none.
  std::string command_line;
  std::span<const MemoryRange> memory_map;  // At most 128 lines.
  uint64_t rsdp = 0;                        // Address of the ACPI tables' root.
};

enum class EntryMode {
  protected_mode,  // 32 bits, flat segments, no paging.
  long_mode,       // 64 bits, the lowest 4 GiB mapped one to one.
};

// The first processor's state where the protocol defines it; the rest is as after power-on.
struct LinuxEntry {
  EntryMode mode = EntryMode::long_mode;
  uint64_t instruction = 0;
  uint64_t zero_page = 0;   // For rsi; 0 with PVH.
  uint64_t start_info = 0;  // For rbx; PVH only.
  uint64_t page_table = 0;  // For cr3; long mode only.
  uint64_t descriptor_table = 0;
  uint16_t descriptor_table_limit = 0;
  uint16_t code_selector = 0, data_selector = 0;
};

// The command line's greatest length, without the terminating zero.
inline constexpr size_t kCommandLineMaximum = 2047;

// Takes a bzImage or an x86-64 ELF vmlinux, either also inside gzip or zstd. `memory` must be zero outside
// what the machine itself has put there, and have RAM from address 0. Errors name the field of the
// configuration ("boot_loader.kernel", "memory_size"…) and say what the file is instead.
Result<LinuxEntry> load_linux(memory::GuestMemory& memory, const LinuxBootRequest& request);

}  // namespace alcove::boot
