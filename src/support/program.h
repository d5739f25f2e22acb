// The programs that Alcove consists of.
#pragma once

#include <alcove/error.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace alcove {

struct ProgramSearch {
  const char* name;          // "alcove-vm"
  const char* variable;      // Of the environment, which may name another: "ALCOVE_VM".
  const char* field;         // Of the options that `wanted` is from, for errors.
  std::string what_missing;  // Ends the error, and its hint, where there is none.
  std::string hint;
};

// `wanted` unless it is empty, else what the environment names, else the one beside the running program, else
// where Alcove is installed. Fails with not_supported if that is not a program.
Result<std::filesystem::path> find_program(const std::filesystem::path& wanted, const ProgramSearch& search);

// The program of this name in $PATH.
std::optional<std::filesystem::path> find_in_path(std::string_view name);

}  // namespace alcove
