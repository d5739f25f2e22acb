// Disk images as files: making, examining, checking, converting and resizing them. No machine is needed, and
// none may be using the image, but for information(). Calls block, and may come from any thread.
#pragma once

#include <alcove/error.h>
#include <alcove/storage.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace alcove {

struct DiskImageCreationOptions {
  DiskImageFormat format = DiskImageFormat::qcow2;  // `automatic` means qcow2.
  // Of the disk, in bytes: a multiple of 512. 0 with a backing file: its size.
  uint64_t size = 0;
  bool overwrite = false;  // An existing file is an error otherwise.
  // Of qcow2 alone. Larger clusters make tables smaller, smaller ones copy less when they are written first.
  uint64_t cluster_size = 64 << 10;    // A power of two, 512 bytes to 2 MiB.
  std::filesystem::path backing_file;  // As the image is to name it: relative to the image's folder.
  DiskImageFormat backing_format = DiskImageFormat::automatic;  // Found out if so, and named in the image.
};

struct DiskImageSnapshot {
  std::string id;
  std::string name;
  uint64_t seconds = 0;        // When it was taken, since 1970.
  uint64_t vm_state_size = 0;  // Bytes of a machine's state that was saved with it.
  uint64_t disk_size = 0;      // 0 if it is not known.

  bool operator==(const DiskImageSnapshot&) const = default;
};

struct DiskImageInformation {
  DiskImageFormat format = DiskImageFormat::raw;
  uint64_t size = 0;            // Of the disk, in bytes.
  uint64_t allocated_size = 0;  // What the file takes on the host.
  // Of qcow2 images.
  uint32_t version = 0;
  uint64_t cluster_size = 0;
  std::string compression;                        // "zlib" or "zstd": of clusters that are compressed.
  std::string backing_file;                       // As the image names it.
  std::optional<DiskImageFormat> backing_format;  // If the image names it.
  bool is_dirty = false;    // It was not closed properly; it is repaired when it is written next.
  bool is_damaged = false;  // It was found damaged, and is not written until it is repaired.
  std::vector<DiskImageSnapshot> snapshots;
};

struct DiskImageCheckOptions {
  bool repair = false;
};

struct DiskImageCheck {
  uint64_t errors = 0;  // What can lose data.
  uint64_t leaks = 0;   // Clusters that are counted as in use, and are not: lost room.
  uint64_t repaired_errors = 0;
  uint64_t repaired_leaks = 0;
  uint64_t disk_clusters = 0;
  uint64_t allocated_clusters = 0;
  uint64_t compressed_clusters = 0;   // Among those allocated.
  uint64_t end = 0;                   // Where the last cluster in use ends, in bytes.
  std::vector<std::string> messages;  // What is wrong; the first twenty errors.

  bool is_clean() const { return errors == repaired_errors && leaks == repaired_leaks; }
};

struct DiskImageConversionOptions {
  DiskImageCreationOptions destination;  // Its size is the source's.
  bool compress = false;                 // qcow2: by Zstandard if `zstd`, else zlib.
  bool zstd = false;
};

// Gets what part is done, 0 to 1, now and then; false ends the work with operation_cancelled.
using DiskImageProgress = std::function<bool(double done)>;

class DiskImage {
 public:
  static Result<> create(const std::filesystem::path& path, const DiskImageCreationOptions& options);

  static Result<DiskImageInformation> information(const std::filesystem::path& path,
                                                  DiskImageFormat format = DiskImageFormat::automatic);

  // Fails with not_supported for raw images, in which there is nothing to check.
  static Result<DiskImageCheck> check(const std::filesystem::path& path,
                                      const DiskImageCheckOptions& options = {},
                                      const DiskImageProgress& progress = {});

  // Copies a disk to a new image, without what reads as zeroes. What was begun is removed if it fails.
  static Result<> convert(const DiskImageStorageDeviceAttachment& source,
                          const std::filesystem::path& destination, const DiskImageConversionOptions& options,
                          const DiskImageProgress& progress = {});

  // `allow_shrinking`: what lies beyond the new size is lost. The guest's file system has to be shrunk
  // before.
  static Result<> resize(const DiskImageStorageDeviceAttachment& image, uint64_t size,
                         bool allow_shrinking = false);
};

}  // namespace alcove
