#pragma once

#include <alcove/error.h>

#include <filesystem>

namespace alcove::client {

// The program that hosts a machine: `wanted` if given, else $ALCOVE_VM, else beside the running program, else
// where Alcove was installed.
Result<std::filesystem::path> find_machine_program(const std::filesystem::path& wanted);

}  // namespace alcove::client
