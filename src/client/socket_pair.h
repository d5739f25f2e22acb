#pragma once

#include <alcove/error.h>

#include <utility>

#include "support/unique_fd.h"

namespace alcove::client {

// Two connected stream sockets, close-on-exec and blocking: one for a program, one for the machine.
Result<std::pair<UniqueFd, UniqueFd>> connection_pair();

}  // namespace alcove::client
