// Images that lie on each other, as one disk.
#pragma once

#include <alcove/storage.h>

#include <memory>
#include <string>
#include <vector>

#include "storage/image_file.h"

namespace alcove::storage {

// What a file's beginning says of its format: raw or qcow2; an errno value if it can't be read.
std::expected<DiskImageFormat, int> detect_format(int fd);

// The format of an image of which `stated` is known; `where` names the field in errors.
Result<DiskImageFormat> format_of(int fd, DiskImageFormat stated, const std::string& where);

// What an image names as the one below it.
struct BackingFile {
  std::string name;  // Empty: none.
  DiskImageFormat format = DiskImageFormat::automatic;
};
// Reads it from an image of this format, which is not closed.
Result<BackingFile> backing_file_of(int fd, DiskImageFormat format, const std::string& where);

struct StackLayer {
  UniqueFd fd;
  DiskImageFormat format = DiskImageFormat::automatic;
  UniqueFd cache = {};  // Keeps what is read of this layer and those below; none: nothing does.
};

// The layers of an image whose files have been opened, in that order: the image, and its base layers (or
// backing files) from the top down.
std::vector<StackLayer> layers_of(const DiskImageStorageDeviceAttachment& image, std::vector<UniqueFd> files);

// From the top down; there is one at least. All but the first are open for reading. Only the last may be raw.
// If its format was found by its content, a raw image at the top is guarded: what would make it another
// format fails with EPERM.
Result<std::unique_ptr<Disk>> open_stack(std::vector<StackLayer> layers, const ImageFileOptions& options,
                                         const std::string& where);

}  // namespace alcove::storage
