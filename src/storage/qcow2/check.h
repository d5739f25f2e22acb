// Whether an image's tables and reference counts agree, and making them agree.
#pragma once

#include <alcove/error.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "storage/image_file.h"
#include "storage/qcow2/header.h"

namespace alcove::storage::qcow2 {

struct CheckOptions {
  bool repair_leaks = false;   // Makes counts smaller that are too large.
  bool repair_errors = false;  // Makes all counts anew if one is too small, and mends what follows from them.
  // Called now and then with what part is done, 0 to 1; false ends the check.
  std::function<bool(double done)> progress = {};
};

struct CheckReport {
  uint64_t errors = 0;  // What can lose data: counts that are too small, entries that can't be.
  uint64_t leaks = 0;   // Clusters that are counted but not used.
  uint64_t repaired_errors = 0;
  uint64_t repaired_leaks = 0;
  uint64_t disk_clusters = 0;         // Of the whole disk.
  uint64_t allocated_clusters = 0;    // Those of the disk that have a place in the file.
  uint64_t compressed_clusters = 0;   // Among these.
  uint64_t end = 0;                   // Of the last cluster in use; bytes.
  std::vector<std::string> messages;  // The first errors, a line each.
};

// The image is not in use. It is open for writing if it is to be repaired.
Result<CheckReport> check(ImageFile& file, const Header& header, const CheckOptions& options,
                          const std::string& where);

}  // namespace alcove::storage::qcow2
