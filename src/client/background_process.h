#pragma once

#include <alcove/error.h>

#include <filesystem>
#include <string>
#include <vector>

#include "support/unique_fd.h"

namespace alcove::client {

// Runs a program that goes on in a process that is not ours, and ends in ours once that is ready: then this
// returns. It has the descriptors from 3 on, and nothing of the terminal. Fails with what it says on its
// standard error if its status is not 0, or if it takes more than ten seconds.
Result<> start_in_background(const std::filesystem::path& program, std::vector<std::string> arguments,
                             std::vector<UniqueFd> descriptors);

}  // namespace alcove::client
