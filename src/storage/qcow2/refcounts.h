// How often each cluster of an image's file is in use (qcow2.txt, "Host cluster management"), and from that
// the allocation of free ones.
//
// Clusters are reserved in the file many at once, and on the medium before any of them is handed out. So no
// allocation waits for the medium but one in many, and whatever happens to process or host, a cluster that is
// in use is counted; some that are counted may be in no use.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "storage/image_file.h"
#include "storage/qcow2/header.h"
#include "storage/qcow2/metadata_clusters.h"

namespace alcove::storage::qcow2 {

// One count of a refcount block; widths below a byte begin with its lowest bits.
uint64_t get_count(const std::byte* block, uint32_t order, uint64_t index);
void set_count(std::byte* block, uint32_t order, uint64_t index, uint64_t count);

struct ClusterRun {
  uint64_t first = 0;
  uint64_t count = 0;
  bool reads_as_zero = false;  // Nothing was ever written to them.
};

// Any thread. Errors are errno values; EIO also where the image contradicts itself, which `damaged` is told.
class Refcounts {
 public:
  using Damaged = std::function<void(const char* what)>;

  // `header`'s place and size of the refcount table change with it, under the lock of this object.
  Refcounts(ImageFile& file, Header& header, MetadataClusters& metadata, Damaged damaged);

  // Reads the table.
  IoResult load();

  // At least one cluster and at most `most`, side by side.
  std::expected<ClusterRun, int> allocate(uint64_t most);
  // Exactly so many, side by side: for tables.
  std::expected<uint64_t, int> allocate_table(uint64_t count);
  // Takes clusters back that were allocated but are not used.
  void give_back(uint64_t first, uint64_t count);
  // They are in use once less. Those in no use any more can be allocated.
  IoResult release(uint64_t first, uint64_t count);
  // It is in use once more.
  IoResult retain(uint64_t cluster);
  std::expected<uint64_t, int> count_of(uint64_t cluster);
  // Gives back what is reserved: the object is not used afterwards.
  IoResult close();

 private:
  struct Block {
    std::vector<std::byte> counts;
    uint64_t last_use = 0;
  };
  std::expected<Block*, int> block(uint64_t index, bool make);
  std::expected<Block*, int> make_block(uint64_t index);
  IoResult grow_table(uint64_t index);
  std::expected<uint64_t, int> append(uint64_t end, uint64_t count);
  void touch(uint64_t end);
  IoResult reserve();
  IoResult change(uint64_t first, uint64_t count, const std::function<bool(uint64_t& value)>& changed);
  void evict();
  IoResult damage(const char* what);

  ImageFile& file_;
  Header& header_;
  MetadataClusters& metadata_;
  Damaged damaged_;
  const uint64_t per_block_;

  std::mutex mutex_;                            // Guards what follows.
  std::vector<uint64_t> table_;                 // Offsets of blocks; 0: none, so all its counts are 0.
  std::unordered_map<uint64_t, Block> blocks_;  // Those in memory, as the file has them.
  uint64_t uses_ = 0;
  std::vector<ClusterRun> reserved_;  // The last is used first.
  uint64_t first_free_ = 0;           // None before it is free.
  uint64_t untouched_from_ = 0;       // Nothing was ever written here and beyond.
  uint64_t batch_bytes_ = 1 << 20;
};

}  // namespace alcove::storage::qcow2
