// Shared folders: from a configuration and open descriptors to what a file server serves.
#pragma once

#include <alcove/directory_sharing.h>

#include <optional>
#include <string>

#include "machine/descriptors.h"
#include "share/server.h"

namespace alcove::machine {

// Takes the share's folders from `descriptors`; `field` is the share's.
Result<share::Share> open_share(const std::optional<DirectoryShare>& share, Descriptors& descriptors,
                                const std::string& field);

}  // namespace alcove::machine
