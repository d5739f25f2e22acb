// What is at the host's end of a network device's cable: opened, started and joined here, as whoever uses the
// library.
#pragma once

#include <alcove/error.h>
#include <alcove/virtual_machine_configuration.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "machine/descriptors.h"
#include "support/unique_fd.h"

namespace alcove::client {

// What an attachment has as long as its VirtualMachine exists, also between starts.
struct NetworkFiles {
  UniqueFd handle;  // A duplicate of the caller's.
};

// Errors and descriptors are named by the attachment's path, `where`.
Result<NetworkFiles> make_network_files(const NetworkDeviceAttachment& attachment, const std::string& where);
// For each network device of the configuration.
Result<std::vector<NetworkFiles>> make_network_files(const VirtualMachineConfiguration& configuration);

// The attachment with our own descriptor in place of the caller's, which may be closed.
NetworkDeviceAttachment with_own_handle(NetworkDeviceAttachment attachment, const NetworkFiles& files);

struct NetworkOpening {
  MACAddress mac_address;
  std::filesystem::path machine_program;  // Also that of a shared network's process.
};
// Adds what the machine's process gets at one start: WHERE.file_handle or WHERE.socket.
Result<> open_network(const NetworkDeviceAttachment& attachment, const NetworkFiles& files,
                      const NetworkOpening& opening, const std::string& where,
                      machine::Descriptors& descriptors);

}  // namespace alcove::client
