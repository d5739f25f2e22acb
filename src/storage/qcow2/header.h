// The header of a qcow2 image and its extensions: read once from hostile bytes, checked here.
#pragma once

#include <alcove/error.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "spec/qcow2.h"

namespace alcove::storage::qcow2 {

// The largest tables that are kept in memory or walked: an image that asks for more is refused.
inline constexpr uint64_t kMostL1Bytes = 32 << 20;
inline constexpr uint64_t kMostRefcountTableBytes = 8 << 20;
inline constexpr uint32_t kMostSnapshots = 65536;
inline constexpr uint64_t kMostSnapshotTableBytes = 64 << 20;
inline constexpr uint64_t kMostSnapshotL1Bytes = 1 << 30;  // Of all together.
inline constexpr uint64_t kMostBitmapClusters = 1 << 20;   // Of all together.

struct BitmapsExtension {
  uint32_t count = 0;
  uint64_t directory_offset = 0;
  uint64_t directory_size = 0;  // Bytes.

  bool operator==(const BitmapsExtension&) const = default;
};

// Numbers of a checked header are within the format's bounds and those above, and tables lie on clusters.
struct Header {
  uint32_t version = 3;
  uint32_t cluster_bits = 16;
  uint64_t size = 0;
  uint32_t l1_size = 0;
  uint64_t l1_offset = 0;
  uint64_t refcount_table_offset = 0;
  uint32_t refcount_table_clusters = 0;
  uint32_t snapshot_count = 0;
  uint64_t snapshots_offset = 0;
  uint64_t incompatible_features = 0;
  uint64_t compatible_features = 0;
  uint64_t autoclear_features = 0;
  uint32_t refcount_order = spec::qcow2::kVersion2RefcountOrder;
  uint8_t compression = spec::qcow2::kZlib;
  std::string backing_file;    // Empty: none.
  std::string backing_format;  // As it is named there; empty: not named.
  std::optional<BitmapsExtension> bitmaps;

  uint64_t cluster_size() const { return uint64_t{1} << cluster_bits; }
  uint64_t l2_entries() const { return cluster_size() / 8; }
  // Guest bytes that one L2 table maps.
  uint64_t l2_reach() const { return cluster_size() * l2_entries(); }
  // Clusters that one refcount block counts.
  uint64_t refcounts_per_block() const { return cluster_size() * 8 >> refcount_order; }
  uint64_t clusters(uint64_t bytes) const {
    return (bytes >> cluster_bits) + (bytes % cluster_size() ? 1 : 0);
  }

  bool operator==(const Header&) const = default;
};

// Whether a file that begins so is to be taken for a qcow2 image.
bool has_magic(std::span<const std::byte> start);

// `start`: the file's first bytes, at least one cluster of it or all that it has. `where` names the field in
// errors, which say what to do about features that are not supported.
Result<Header> parse_header(std::span<const std::byte> start, const std::string& where);

// What an image begins with; as long as its cluster. Fails if names are too long for it.
Result<std::vector<std::byte>> make_header(const Header& header, const std::string& where);

}  // namespace alcove::storage::qcow2
