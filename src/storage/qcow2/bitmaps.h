// Which clusters an image's dirty bitmaps take: they are not used here, but they are counted.
#pragma once

#include <cstdint>
#include <expected>
#include <vector>

#include "storage/image_file.h"
#include "storage/qcow2/header.h"

namespace alcove::storage::qcow2 {

struct FileRange {
  uint64_t offset = 0;
  uint64_t size = 0;  // Bytes.
};

// Nothing without the extension. EINVAL for a directory that can't be, E2BIG for more than
// kMostBitmapClusters.
std::expected<std::vector<FileRange>, int> bitmap_ranges(ImageFile& file, const Header& header);

}  // namespace alcove::storage::qcow2
