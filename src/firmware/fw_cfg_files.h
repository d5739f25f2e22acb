// What firmware finds in the firmware configuration device (spec/fw_cfg.h) about the machine.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "firmware/acpi_tables.h"
#include "firmware/smbios.h"
#include "spec/fw_cfg.h"

namespace alcove::firmware {

struct FwCfgFile {
  std::string name;
  std::vector<uint8_t> bytes;
};

// The ACPI tables, their root and the script that tells firmware how to place both.
std::vector<FwCfgFile> acpi_files(const BoardDescription& board);
std::vector<FwCfgFile> smbios_files(const SmbiosDescription& machine);
FwCfgFile memory_map_file(std::span<const spec::fw_cfg::E820Entry> map);
// Open Firmware device paths, first the one to boot from first.
FwCfgFile boot_order_file(std::span<const std::string> device_paths);

// Device paths of disks: a virtio disk and an NVM Express controller in a slot of bus 0, and a stick or disc
// at a port (from 1) of a USB controller there.
std::string virtio_disk_path(unsigned slot);
std::string nvme_disk_path(unsigned slot);
std::string usb_disk_path(unsigned slot, unsigned port);

}  // namespace alcove::firmware
