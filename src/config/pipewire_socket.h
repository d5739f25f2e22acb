#pragma once

#include <filesystem>

namespace alcove::config {

// Where the user's PipeWire listens, as its own programs find it.
std::filesystem::path pipewire_socket();

}  // namespace alcove::config
