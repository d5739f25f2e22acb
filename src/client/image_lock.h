// Locks of disk images, so that no two machines write the same one.
#pragma once

#include <alcove/error.h>

#include <filesystem>

namespace alcove::client {

// Takes an open file description lock (fcntl(2), F_OFD_SETLK) on the whole file: it lasts until the last copy
// of the descriptor, in whatever process, is closed. The error names the process that holds it.
Result<> lock_image(int descriptor, bool exclusive, const std::filesystem::path& path);

}  // namespace alcove::client
