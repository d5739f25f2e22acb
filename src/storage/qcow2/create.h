// New images.
#pragma once

#include <alcove/error.h>

#include <cstdint>
#include <string>

#include "storage/image_file.h"

namespace alcove::storage::qcow2 {

struct CreateOptions {
  uint64_t size = 0;                 // Of the disk, in bytes; a multiple of 512.
  uint64_t cluster_size = 64 << 10;  // 512 to 2 MiB, a power of two.
  bool zstd = false;                 // How clusters that are written compressed are.
  std::string backing_file = {};     // As it is to be named in the image; empty: none.
  std::string backing_format = {};
};

// Writes an empty image of version 3 to an empty file. `where` names the field in errors.
Result<> create_image(ImageFile& file, const CreateOptions& options, const std::string& where);

}  // namespace alcove::storage::qcow2
