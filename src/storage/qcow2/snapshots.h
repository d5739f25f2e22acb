// The snapshots inside of an image: states of the disk that QEMU kept. They are listed, and what they share
// with the disk is copied when it is written.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "storage/image_file.h"
#include "storage/qcow2/header.h"

namespace alcove::storage::qcow2 {

struct Snapshot {
  uint64_t l1_offset = 0;
  uint32_t l1_size = 0;  // Entries.
  std::string id;
  std::string name;
  uint64_t seconds = 0;  // Since 1970, of when it was taken.
  uint64_t vm_state_size = 0;
  uint64_t disk_size = 0;  // 0: not told.
};

struct SnapshotTable {
  std::vector<Snapshot> snapshots;
  uint64_t bytes = 0;     // Of the table in the file.
  uint64_t l1_bytes = 0;  // Of the L1 tables. They may be said to lie in each other, so the file is no bound.
};

// EINVAL for a table that can't be; EIO and others for what the host says.
std::expected<SnapshotTable, int> read_snapshots(ImageFile& file, const Header& header);

}  // namespace alcove::storage::qcow2
