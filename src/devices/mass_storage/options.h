// What a mass storage device is made as.
#pragma once

#include <string>

namespace alcove::devices::mass_storage {

struct MassStorageOptions {
  bool is_optical = false;
  // USB Attached SCSI beside bulk-only transport, as the interface's other alternate setting.
  bool has_attached_scsi = false;
  std::string serial;  // Hexadecimal digits, 12 at least (Bulk-Only Transport, section 4.1.1).
};

}  // namespace alcove::devices::mass_storage
