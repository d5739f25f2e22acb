#pragma once

#include <alcove/error.h>

#include <string>

#include "support/unique_fd.h"

namespace alcove::client {

// A pseudo terminal in raw mode. Nobody has the terminal side open but its users, so that the machine sees
// whether there are any: what is written without them, and has no room, does not wait.
struct PseudoTerminal {
  UniqueFd machine_side;  // O_NONBLOCK: output that nobody reads must not stop the guest.
  std::string path;       // Of the terminal side.

  static Result<PseudoTerminal> open();
};

}  // namespace alcove::client
