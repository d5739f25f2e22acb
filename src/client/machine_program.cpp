#include "client/machine_program.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace alcove::client {
namespace {

constexpr const char* kName = "alcove-vm";

bool is_program(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
}

}  // namespace

Result<std::filesystem::path> find_machine_program(const std::filesystem::path& wanted) {
  const char* from_environment = std::getenv("ALCOVE_VM");
  std::filesystem::path named = !wanted.empty()               ? wanted
                                : from_environment != nullptr ? from_environment
                                                              : "";
  if (!named.empty()) {
    if (is_program(named)) return named;
    return fail(ErrorCode::not_supported, wanted.empty() ? "ALCOVE_VM" : "machine_program",
                fmt::format("{} is not a program", named.string()), "name the alcove-vm of this version");
  }
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  std::vector<std::filesystem::path> candidates;
  if (!error) candidates = {folder / kName, folder.parent_path() / "libexec" / "alcove" / kName};
  candidates.push_back(std::filesystem::path(ALCOVE_LIBEXEC_FOLDER) / kName);
  for (const std::filesystem::path& candidate : candidates) {
    if (is_program(candidate)) return candidate;
  }
  return fail(
      ErrorCode::not_supported, "",
      fmt::format("the program {} is neither beside this one nor in {}", kName, ALCOVE_LIBEXEC_FOLDER),
      "install Alcove, or set ALCOVE_VM to its path");
}

}  // namespace alcove::client
