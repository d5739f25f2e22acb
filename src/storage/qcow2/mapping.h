// Where the guest's clusters are in the file: the L1 table, and L2 tables through a cache.
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <span>
#include <vector>

#include "storage/image_file.h"
#include "storage/qcow2/header.h"
#include "storage/qcow2/l2_cache.h"
#include "storage/qcow2/metadata_clusters.h"
#include "storage/qcow2/operations.h"
#include "storage/qcow2/refcounts.h"

namespace alcove::storage::qcow2 {

enum class ClusterKind : uint8_t {
  unallocated,  // What the backing file has, or zeroes.
  zero,
  data,
  compressed,
};

// What an entry of an L2 table says.
struct ClusterEntry {
  ClusterKind kind = ClusterKind::unallocated;
  bool exclusive = false;  // No snapshot has it: it may be written in place.
  uint64_t host = 0;       // Byte in the file; 0 if it has no place there. Zero clusters may have one.
  uint64_t size = 0;       // Of compressed data, at most: they begin at any byte.
};

// Nothing if an image may not have such an entry.
std::optional<ClusterEntry> parse_entry(uint64_t entry, const Header& header);

// Guest clusters of one kind, and side by side in the file if they are data.
struct Extent {
  ClusterEntry first;
  uint64_t raw = 0;     // The first one's entry.
  uint64_t length = 0;  // Bytes from where was asked.
};

// When the file gets changed entries.
enum class Settle {
  at_once,
  // After the data that they lead to are on the medium, by settle(): a host that loses power in between still
  // has what was there before.
  after_data,
};

// Any thread. Errors are errno values; EIO also where the image contradicts itself, which `damaged` is told.
class Mapping {
 public:
  Mapping(ImageFile& file, const Header& header, MetadataClusters& metadata, Operations& operations,
          Refcounts* refcounts, Refcounts::Damaged damaged);

  // Reads the L1 table and tells `metadata` where tables are.
  IoResult load();

  // From this byte of the guest's disk, at most so far, and within a slice.
  std::expected<Extent, int> find(uint64_t offset, uint64_t length);
  // The same without reading from the file; nothing if it would have to.
  std::optional<Extent> find_cached(uint64_t offset, uint64_t length);

  // Entries of guest clusters, all within one slice.
  std::expected<std::vector<uint64_t>, int> entries(uint64_t first, uint64_t count);
  // Changes them; makes their L2 table if there is none. Whoever changes them holds them (ClusterHolds).
  IoResult set_entries(uint64_t first, std::span<const uint64_t> entries, Settle settle);
  // The file has all entries after it, though maybe not the medium.
  IoResult settle();
  // Whether an L2 table maps the cluster.
  bool has_table(uint64_t cluster) const;
  // How many clusters from this one on, at most `most`, are in its slice.
  uint64_t in_slice(uint64_t cluster, uint64_t most) const;

  // Has a longer L1 table, which `write` writes, and tells the header about, while no table changes.
  Result<> make_l1_longer(uint64_t entries,
                          const std::function<Result<>(const std::vector<uint64_t>& l1)>& write);

 private:
  std::expected<std::vector<uint64_t>, int> read_slice(uint64_t number, uint64_t table) const;
  // Calls `found` with the slice, under a lock; without one where there is no L2 table.
  template <class Found>
  IoResult with_slice(uint64_t number, Found found);
  Extent measure(const L2Slice* slice, uint64_t offset, uint64_t length, bool& valid) const;
  std::expected<uint64_t, int> own_table(uint64_t l1_index);
  std::expected<uint64_t, int> table_of(uint64_t entry) const;
  IoResult write_entries(uint64_t table, uint64_t first, std::span<const uint64_t> entries);
  IoResult keep_unsettled(uint64_t first, std::span<const uint64_t> entries);
  IoResult settle_all();

  ImageFile& file_;
  const Header& header_;
  MetadataClusters& metadata_;
  Operations& operations_;
  Refcounts* refcounts_;  // Null for images that are only read.
  Refcounts::Damaged damaged_;
  const uint64_t slice_entries_;

  std::mutex change_;                // Held while tables change in the file, or what is unsettled.
  std::set<uint64_t> unsettled_;     // Numbers of slices.
  mutable std::shared_mutex mutex_;  // Guards what follows; not held while waiting for the file.
  std::vector<uint64_t> l1_;
  L2Cache cache_;
  uint64_t changes_ = 0;  // Of entries: a slice read meanwhile is read again.
};

}  // namespace alcove::storage::qcow2
