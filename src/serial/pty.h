#pragma once

#include <alcove/error.h>

#include <string>

#include "support/unique_fd.h"

namespace alcove::serial {

struct Pty {
  UniqueFd master;
  std::string path;  // The end for a terminal program to open ("/dev/pts/3").
};

// A new pseudo-terminal in raw mode: bytes pass unchanged, and none is echoed back to the guest.
Result<Pty> open_pty();

}  // namespace alcove::serial
