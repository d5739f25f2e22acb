#pragma once

#include <alcove/error.h>

#include <string>

#include "support/unique_fd.h"

namespace alcove::client {

// A pseudo terminal in raw mode. The object keeps the terminal side open, too: else the machine would see the
// end of file whenever nobody uses it.
struct PseudoTerminal {
  UniqueFd machine_side;  // O_NONBLOCK: output that nobody reads must not stop the guest.
  UniqueFd terminal_side;
  std::string path;  // Of the terminal side.

  static Result<PseudoTerminal> open();
};

}  // namespace alcove::client
