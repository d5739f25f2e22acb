#pragma once

#include <alcove/error.h>
#include <alcove/network.h>

#include <string>

#include "support/unique_fd.h"

namespace alcove::client {

// Starts passt(1), which ends when the socket is closed. Errors are named by the attachment's path, `where`.
Result<UniqueFd> start_passt(const PasstNetworkDeviceAttachment& attachment, const std::string& where);

}  // namespace alcove::client
