// Opens what a configuration names: the machine's process gets open files only.
#pragma once

#include <alcove/error.h>
#include <alcove/virtual_machine_configuration.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/display.h"
#include "client/line_files.h"
#include "machine/descriptors.h"
#include "support/log_ring.h"

namespace alcove::client {

// What a serial port has as long as its VirtualMachine exists, also between starts.
struct SerialPortFiles : LineFiles {
  LogRing log;
};

// One for each of the configuration's serial ports.
Result<std::vector<SerialPortFiles>> open_serial_ports(const VirtualMachineConfiguration& configuration);

// An image, opened as its attachment says, and those below it, from the top down; all of them locked.
Result<std::vector<UniqueFd>> open_disk_image(const DiskImageStorageDeviceAttachment& image,
                                              const std::string& where);

// What the machine's process gets of a disk that is attached to a running machine, checked already; nothing
// of a network block device.
Result<std::vector<UniqueFd>> open_attachment(const StorageDeviceAttachment& attachment,
                                              const std::string& where);

// The folders of a share, by the paths of their fields; `where` is the share's.
Result<std::map<std::string, UniqueFd>> open_share(const DirectoryShare& share, const std::string& where);

// The files for one start, as src/machine/descriptors.h lists them. Images are locked. Empties files of
// serial ports that are not appended to.
Result<machine::Descriptors> open_host_files(const VirtualMachineConfiguration& configuration,
                                             const std::vector<SerialPortFiles>& serial_ports,
                                             const GraphicsFiles& displays = {});

}  // namespace alcove::client
