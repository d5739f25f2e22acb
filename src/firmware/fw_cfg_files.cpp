#include "firmware/fw_cfg_files.h"

#include <fmt/format.h>

#include <cstring>

#include "firmware/acpi_links.h"
#include "firmware/table.h"

namespace alcove::firmware {

namespace loader = spec::fw_cfg::loader;

namespace {

constexpr char kTables[] = "etc/acpi/tables", kRsdp[] = "etc/acpi/rsdp";

loader::FileName file_name(const char* text) {
  loader::FileName name{};
  std::strncpy(name.data(), text, name.size() - 1);
  return name;
}

}  // namespace

std::vector<FwCfgFile> acpi_files(const BoardDescription& board) {
  LinkedAcpiTables acpi = build_linked_acpi_tables(board, 0);
  // The checksums are computed anew with the fields' present contents.
  for (const AcpiChecksum& checksum : acpi.checksums) acpi.tables[checksum.offset] = 0;

  const auto root = static_cast<uint32_t>(acpi.rsdp);
  const auto in_root = [&](uint32_t offset) { return offset >= root; };
  std::vector<uint8_t> script;
  append_value(script, loader::Allocate{.file = file_name(kTables), .alignment = 64});
  append_value(script,
               loader::Allocate{.file = file_name(kRsdp), .alignment = 16, .zone = loader::Zone::f_segment});
  for (const AcpiPointer& pointer : acpi.pointers) {
    const bool root_pointer = in_root(pointer.offset);
    append_value(script, loader::AddPointer{.pointer = file_name(root_pointer ? kRsdp : kTables),
                                            .pointee = file_name(kTables),
                                            .offset = pointer.offset - (root_pointer ? root : 0),
                                            .size = pointer.size});
  }
  for (const AcpiChecksum& checksum : acpi.checksums) {
    const uint32_t base = in_root(checksum.offset) ? root : 0;
    append_value(script, loader::AddChecksum{.file = file_name(base ? kRsdp : kTables),
                                             .offset = checksum.offset - base,
                                             .start = checksum.start - base,
                                             .length = checksum.length});
  }
  std::vector<uint8_t> rsdp(acpi.tables.begin() + root, acpi.tables.end());
  acpi.tables.resize(root);
  return {
      {kTables, std::move(acpi.tables)}, {kRsdp, std::move(rsdp)}, {"etc/table-loader", std::move(script)}};
}

std::vector<FwCfgFile> smbios_files(const SmbiosDescription& machine) {
  const std::vector<uint8_t> smbios = build_smbios(machine, 0);  // Firmware sets the address.
  return {{"etc/smbios/smbios-anchor", {smbios.begin(), smbios.begin() + kSmbiosEntrySize}},
          {"etc/smbios/smbios-tables", {smbios.begin() + kSmbiosStructures, smbios.end()}}};
}

FwCfgFile memory_map_file(std::span<const spec::fw_cfg::E820Entry> map) {
  FwCfgFile file{"etc/e820", {}};
  for (const auto& entry : map) append_value(file.bytes, entry);
  return file;
}

FwCfgFile boot_order_file(std::span<const std::string> device_paths) {
  std::string text;
  for (const std::string& path : device_paths) text += path + '\n';
  if (!text.empty()) text.back() = '\0';
  return {"bootorder", {text.begin(), text.end()}};
}

std::string virtio_disk_path(unsigned slot) {
  return fmt::format("/pci@i0cf8/scsi@{:x}/disk@0,0", slot);
}

// Of the controller, and so of every namespace that it has: OVMF asks for the identifier of a namespace only
// of controllers that are named pci8086,5845.
std::string nvme_disk_path(unsigned slot) {
  return fmt::format("/pci@i0cf8/nvme@{:x}", slot);
}

std::string usb_disk_path(unsigned slot, unsigned port) {
  return fmt::format("/pci@i0cf8/usb@{:x}/storage@{:x}/channel@0/disk@0,0", slot, port);
}

}  // namespace alcove::firmware
