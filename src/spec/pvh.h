// The PVH direct boot protocol (Xen, docs/misc/pvh.pandoc and xen/include/public/arch-x86/hvm/start_info.h).
#pragma once

#include <cstdint>

namespace alcove::spec::pvh {

inline constexpr uint32_t kPhys32EntryNote = 18;  // XEN_ELFNOTE_PHYS32_ENTRY, name "Xen"
inline constexpr uint32_t kStartMagic = 0x336ec578;

struct StartInfo {
  uint32_t magic = kStartMagic;
  uint32_t version = 1;
  uint32_t flags = 0;
  uint32_t module_count = 0;
  uint64_t modules = 0;
  uint64_t command_line = 0;
  uint64_t rsdp = 0;
  uint64_t memory_map = 0;
  uint32_t memory_map_entries = 0;
  uint32_t reserved = 0;
};
static_assert(sizeof(StartInfo) == 56);

struct Module {
  uint64_t address = 0;
  uint64_t size = 0;
  uint64_t command_line = 0;
  uint64_t reserved = 0;
};
static_assert(sizeof(Module) == 32);

struct MemoryMapEntry {
  uint64_t address = 0;
  uint64_t size = 0;
  uint32_t type = 0;  // As in e820.
  uint32_t reserved = 0;
};
static_assert(sizeof(MemoryMapEntry) == 24);

}  // namespace alcove::spec::pvh
