#include "config/pipewire_socket.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

namespace alcove::config {

std::filesystem::path pipewire_socket() {
  const auto variable = [](const char* name) -> std::filesystem::path {
    const char* value = std::getenv(name);
    return value ? value : "";
  };
  std::filesystem::path name = variable("PIPEWIRE_REMOTE");
  if (name.empty()) name = "pipewire-0";
  std::filesystem::path folder = variable("PIPEWIRE_RUNTIME_DIR");
  if (folder.empty()) folder = variable("XDG_RUNTIME_DIR");
  if (folder.empty()) folder = fmt::format("/run/user/{}", ::getuid());
  return folder / name;  // An absolute name stays as it is.
}

}  // namespace alcove::config
