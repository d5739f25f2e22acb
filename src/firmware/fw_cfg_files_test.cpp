#include "firmware/fw_cfg_files.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "firmware/table.h"
#include "spec/acpi.h"

namespace alcove::firmware {
namespace {

namespace loader = spec::fw_cfg::loader;

BoardDescription board() {
  return {.cpu_count = 2,
          .local_apic_address = 0xfee00000,
          .ioapic_address = 0xfec00000,
          .ecam_address = 0xb0000000,
          .memory_window32 = {0xc0000000, 0xfbffffff},
          .memory_window64 = {0x200000000, 0x9ffffffff},
          .pm_port = 0x600,
          .reset_port = 0xcf9,
          .reset_value = 6};
}

// Does what firmware does with the script, and gives all of memory from `base`.
struct Placed {
  std::map<std::string, std::vector<uint8_t>> files;
  std::map<std::string, uint64_t> addresses;
};

Placed place(const std::vector<FwCfgFile>& files, uint64_t base) {
  Placed placed;
  for (const FwCfgFile& file : files) placed.files[file.name] = file.bytes;
  const std::vector<uint8_t> script = placed.files.at("etc/table-loader");
  EXPECT_EQ(script.size() % 128, 0u);
  for (size_t at = 0; at < script.size(); at += 128) {
    loader::Command command;
    std::memcpy(&command, script.data() + at, sizeof command);
    if (command == loader::Command::allocate) {
      loader::Allocate entry;
      std::memcpy(&entry, script.data() + at, sizeof entry);
      base = (base + entry.alignment - 1) / entry.alignment * entry.alignment;
      placed.addresses[entry.file.data()] = base;
      base += placed.files.at(entry.file.data()).size();
    } else if (command == loader::Command::add_pointer) {
      loader::AddPointer entry;
      std::memcpy(&entry, script.data() + at, sizeof entry);
      auto& bytes = placed.files.at(entry.pointer.data());
      uint64_t value = 0;
      EXPECT_LE(entry.offset + entry.size, bytes.size());
      std::memcpy(&value, bytes.data() + entry.offset, entry.size);
      value += placed.addresses.at(entry.pointee.data());
      std::memcpy(bytes.data() + entry.offset, &value, entry.size);
    } else {
      loader::AddChecksum entry;
      std::memcpy(&entry, script.data() + at, sizeof entry);
      auto& bytes = placed.files.at(entry.file.data());
      EXPECT_LE(entry.start + entry.length, bytes.size());
      bytes[entry.offset] = checksum(std::span(bytes).subspan(entry.start, entry.length));
    }
  }
  return placed;
}

// Placed by firmware, the tables are those that a direct boot has at that address.
TEST(FwCfgFiles, AcpiTablesAreTheSameAsWithoutFirmware) {
  constexpr uint64_t kBase = 0x7f000000;
  const Placed placed = place(acpi_files(board()), kBase);
  const AcpiTables direct = build_acpi_tables(board(), kBase);
  std::vector<uint8_t> all = placed.files.at("etc/acpi/tables");
  ASSERT_EQ(placed.addresses.at("etc/acpi/tables"), kBase);
  const auto& rsdp = placed.files.at("etc/acpi/rsdp");
  EXPECT_EQ(rsdp.size(), sizeof(spec::acpi::Rsdp));
  all.insert(all.end(), rsdp.begin(), rsdp.end());
  EXPECT_EQ(all, direct.tables);
}

TEST(FwCfgFiles, SmbiosIsEntryAndStructures) {
  const auto files = smbios_files({.cpu_count = 1, .low_memory_size = 1 << 30, .version = "1"});
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(std::string(files[0].bytes.begin(), files[0].bytes.begin() + 5), "_SM3_");
  EXPECT_EQ(files[0].bytes.size(), 24u);
  EXPECT_EQ(checksum(files[0].bytes), 0);
  uint32_t size = 0;
  std::memcpy(&size, files[0].bytes.data() + 12, sizeof size);
  EXPECT_EQ(files[1].bytes.size(), size);
}

TEST(FwCfgFiles, BootOrderIsOnePathALine) {
  const std::string paths[] = {virtio_disk_path(1), virtio_disk_path(16)};
  const FwCfgFile file = boot_order_file(paths);
  EXPECT_EQ(file.name, "bootorder");
  EXPECT_EQ(std::string(file.bytes.begin(), file.bytes.end()),
            std::string("/pci@i0cf8/scsi@1/disk@0,0\n/pci@i0cf8/scsi@10/disk@0,0\0", 55));
}

TEST(FwCfgFiles, MemoryMapIsOfTwentyByteLines) {
  const spec::fw_cfg::E820Entry map[] = {{0, 0xb0000000, 1}, {0x100000000, 0x40000000, 1}};
  EXPECT_EQ(memory_map_file(map).bytes.size(), 40u);
}

}  // namespace
}  // namespace alcove::firmware
