#include <algorithm>
#include <array>

#include "boot/load_plan.h"
#include "spec/pvh.h"

namespace alcove::boot {

using namespace spec::linux_boot;

namespace {

// Flat segments (Intel SDM vol. 3, 3.4.5): present, accessed, 4 GiB.
constexpr uint64_t kCode64 = 0x00af9b000000ffff, kCode32 = 0x00cf9b000000ffff, kData = 0x00cf93000000ffff;

constexpr uint64_t kPresentWritable = 3, kLargePage = 1 << 7;  // SDM vol. 3, 4.5
constexpr uint64_t kMappedGiB = 4;

bool write_descriptors(memory::GuestMemory& memory, LinuxEntry& entry) {
  const std::array<uint64_t, 4> table{0, 0, entry.mode == EntryMode::long_mode ? kCode64 : kCode32, kData};
  entry.descriptor_table = low_memory::kDescriptorTable;
  entry.descriptor_table_limit = sizeof table - 1;
  entry.code_selector = kBootCs;
  entry.data_selector = kBootDs;
  return memory.store(low_memory::kDescriptorTable, table);
}

// One to one, with pages of 2 MiB.
bool write_page_tables(memory::GuestMemory& memory, LinuxEntry& entry) {
  using Table = std::array<uint64_t, 512>;
  const uint64_t root = low_memory::kPageTables, pointers = root + 0x1000, directories = pointers + 0x1000;
  Table table{pointers | kPresentWritable};
  if (!memory.store(root, table)) return false;
  table = {};
  for (uint64_t i = 0; i < kMappedGiB; ++i) table[i] = (directories + i * 0x1000) | kPresentWritable;
  if (!memory.store(pointers, table)) return false;
  for (uint64_t gib = 0; gib < kMappedGiB; ++gib) {
    for (uint64_t i = 0; i < table.size(); ++i)
      table[i] = gib << 30 | i << 21 | kPresentWritable | kLargePage;
    if (!memory.store(directories + gib * 0x1000, table)) return false;
  }
  entry.page_table = root;
  return true;
}

bool write_zero_page(memory::GuestMemory& memory, const LoadPlan& plan, const LinuxBootRequest& request,
                     std::optional<RamdiskPlace> ramdisk) {
  BootParameters parameters;
  parameters.acpi_rsdp_address = request.rsdp;
  parameters.header = plan.header;
  SetupHeader& header = parameters.header;
  header.type_of_loader = kLoaderUndefined;
  header.command_line = low_memory::kCommandLine;
  if (ramdisk) {
    header.initrd_address = static_cast<uint32_t>(ramdisk->address);
    header.initrd_size = static_cast<uint32_t>(ramdisk->size);
  }
  parameters.e820_count = static_cast<uint8_t>(std::min(request.memory_map.size(), parameters.e820.size()));
  for (size_t i = 0; i < parameters.e820_count; ++i) {
    const MemoryRange& range = request.memory_map[i];
    parameters.e820[i] = {range.address, range.size, range.type};
  }
  return memory.store(low_memory::kZeroPage, parameters);
}

bool write_start_info(memory::GuestMemory& memory, const LinuxBootRequest& request,
                      std::optional<RamdiskPlace> ramdisk) {
  spec::pvh::StartInfo info{.command_line = low_memory::kCommandLine, .rsdp = request.rsdp};
  uint64_t next = low_memory::kStartInfo + sizeof info;
  if (ramdisk) {
    info.module_count = 1;
    info.modules = next;
    if (!memory.store(next, spec::pvh::Module{.address = ramdisk->address, .size = ramdisk->size}))
      return false;
    next += sizeof(spec::pvh::Module);
  }
  info.memory_map = next;
  info.memory_map_entries = static_cast<uint32_t>(request.memory_map.size());
  for (const MemoryRange& range : request.memory_map) {
    const spec::pvh::MemoryMapEntry line{.address = range.address, .size = range.size, .type = range.type};
    if (!memory.store(next, line)) return false;
    next += sizeof line;
  }
  return memory.store(low_memory::kStartInfo, info);
}

}  // namespace

Result<LinuxEntry> write_boot_data(memory::GuestMemory& memory, const LoadPlan& plan,
                                   const LinuxBootRequest& request, std::optional<RamdiskPlace> ramdisk) {
  LinuxEntry entry;
  entry.mode = plan.protocol == Protocol::linux64 ? EntryMode::long_mode : EntryMode::protected_mode;
  entry.instruction = plan.entry;
  bool written = write_descriptors(memory, entry);
  if (entry.mode == EntryMode::long_mode) written = written && write_page_tables(memory, entry);
  // With its terminating zero.
  written =
      written &&
      memory.write(low_memory::kCommandLine,
                   std::as_bytes(std::span(request.command_line.c_str(), request.command_line.size() + 1)));
  if (plan.protocol == Protocol::pvh) {
    entry.start_info = low_memory::kStartInfo;
    written = written && write_start_info(memory, request, ramdisk);
  } else {
    entry.zero_page = low_memory::kZeroPage;
    written = written && write_zero_page(memory, plan, request, ramdisk);
  }
  if (!written) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, "memory_size", "is less than 1 MiB");
  }
  return entry;
}

}  // namespace alcove::boot
