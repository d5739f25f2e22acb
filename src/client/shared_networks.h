// Networks that machines of one user share: each is a process (`alcove-vm --network=NAME`), reached by a UNIX
// socket, that is started when the first machine joins and ends when the last has gone.
#pragma once

#include <alcove/error.h>
#include <alcove/network.h>

#include <filesystem>
#include <string>

#include "support/unique_fd.h"

namespace alcove::client {

// The folder of their sockets, $XDG_RUNTIME_DIR/alcove/networks, else in /run/user or /tmp: made if it is
// missing, or an error.
enum class Folder { made, as_it_is };
Result<std::filesystem::path> shared_networks_folder(Folder folder = Folder::made);

// A connection for the machine's process, with the network's answer still to be read. Errors are named by the
// attachment's path, `where`.
Result<UniqueFd> join_shared_network(const SharedNetworkDeviceAttachment& attachment, MACAddress mac_address,
                                     const std::filesystem::path& machine_program, const std::string& where);

}  // namespace alcove::client
