#include "support/program.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace alcove {
namespace {

namespace fs = std::filesystem;

bool is_program(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
}

}  // namespace

Result<fs::path> find_program(const fs::path& wanted, const ProgramSearch& search) {
  const char* const variable = std::getenv(search.variable);
  const fs::path named = !wanted.empty() ? wanted : fs::path(variable ? variable : "");
  if (!named.empty()) {
    if (is_program(named)) return named;
    return fail(ErrorCode::not_supported, wanted.empty() ? search.variable : search.field,
                named.string() + " is not a program",
                std::string("name the ") + search.name + " of this version");
  }
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  std::vector<fs::path> candidates;
  if (!error) candidates = {folder / search.name, folder.parent_path() / "libexec" / "alcove" / search.name};
  candidates.push_back(fs::path(ALCOVE_LIBEXEC_FOLDER) / search.name);
  for (const fs::path& candidate : candidates) {
    if (is_program(candidate)) return candidate;
  }
  return fail(ErrorCode::not_supported, "",
              std::string("the program ") + search.name + " is neither beside this one nor in " +
                  ALCOVE_LIBEXEC_FOLDER + search.what_missing,
              search.hint);
}

std::optional<std::filesystem::path> find_in_path(std::string_view name) {
  const char* variable = std::getenv("PATH");
  const std::string_view folders = variable ? variable : "/usr/local/bin:/usr/bin:/bin";
  for (size_t begin = 0; begin <= folders.size();) {
    const size_t end = std::min(folders.find(':', begin), folders.size());
    const auto path = std::filesystem::path(folders.substr(begin, end - begin)) / name;
    if (path.is_absolute() && is_program(path)) return path;
    begin = end + 1;
  }
  return {};
}

}  // namespace alcove
