// What a check mends.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "storage/qcow2/big_endian.h"
#include "storage/qcow2/checker.h"
#include "storage/qcow2/mapping.h"
#include "storage/qcow2/refcounts.h"

namespace alcove::storage::qcow2 {

using namespace spec::qcow2;

IoResult Checker::write(uint64_t offset, const void* data, size_t size) {
  const iovec buffer{const_cast<void*>(data), size};
  return file_.write(offset, {&buffer, 1});
}

// All counts anew, behind everything that is in use. They come into force with one write to the header.
IoResult Checker::rebuild() {
  for (const uint64_t cluster : count_clusters_) {
    if (cluster < counts_.size() && counts_[cluster] > 0) --counts_[cluster];
  }
  const uint64_t cluster_size = header_.cluster_size(), per_block = header_.refcounts_per_block();
  const uint64_t first = std::max<uint64_t>(counts_.size(), file_clusters_);
  uint64_t blocks = 0, clusters = 0;
  while (true) {
    const uint64_t total = first + blocks + clusters;
    const uint64_t need_blocks = (total + per_block - 1) / per_block;
    const uint64_t need_clusters = header_.clusters(need_blocks * 8);
    if (need_blocks == blocks && need_clusters == clusters) break;
    blocks = need_blocks;
    clusters = need_clusters;
  }
  if (clusters * cluster_size > kMostRefcountTableBytes) return std::unexpected(EFBIG);
  counts_.resize(first + blocks + clusters);
  std::fill(counts_.begin() + static_cast<ptrdiff_t>(first), counts_.end(), uint16_t{1});
  const unsigned bits = 1u << header_.refcount_order;
  const uint64_t most = bits >= 16 ? UINT16_MAX : (uint64_t{1} << bits) - 1;
  std::vector<std::byte> block(cluster_size), table(clusters * cluster_size);
  for (uint64_t index = 0; index < blocks; ++index) {
    std::ranges::fill(block, std::byte{0});
    for (uint64_t i = 0; i < per_block && index * per_block + i < counts_.size(); ++i) {
      const uint64_t count = counts_[index * per_block + i];
      if (count > most) return std::unexpected(EOVERFLOW);
      set_count(block.data(), header_.refcount_order, i, count);
    }
    const uint64_t offset = (first + index) << header_.cluster_bits;
    store(&table[index * 8], offset);
    if (IoResult done = write(offset, block.data(), block.size()); !done) return done;
  }
  const uint64_t table_offset = (first + blocks) << header_.cluster_bits;
  IoResult done = write(table_offset, table.data(), table.size());
  if (done) done = file_.barrier();
  std::byte place[12];
  store(place, table_offset);
  store(place + 8, static_cast<uint32_t>(clusters));
  if (done) done = write(kRefcountTableOffset, place, sizeof place);
  if (done) done = file_.barrier();
  if (!done) return done;
  header_.refcount_table_offset = table_offset;
  header_.refcount_table_clusters = static_cast<uint32_t>(clusters);
  report_.repaired_errors += wrong_counts_;
  report_.end = counts_.size() << header_.cluster_bits;
  return {};
}

// An entry may say that its cluster has no other use, and a guest then writes there, where that is so.
IoResult Checker::check_flags_of(const std::vector<uint64_t>& entries, uint64_t offset) {
  const bool repairs = options_.repair_errors && is_complete_;
  std::vector<uint64_t> mended = entries;
  for (uint64_t& entry : mended) {
    const uint64_t cluster = (entry & kOffsetMask) >> header_.cluster_bits;
    if (entry & kCompressed || cluster == 0 || cluster >= counts_.size()) continue;
    const bool is_only = counts_[cluster] == 1, says_so = (entry & kCopied) != 0;
    if (is_only == says_so) continue;
    entry ^= kCopied;
    if (!says_so) continue;  // It would be copied for nothing.
    error(fmt::format("the cluster at {:#x} has several uses, and is marked as having one",
                      cluster << header_.cluster_bits));
    if (repairs) ++report_.repaired_errors;
  }
  if (!repairs || mended == entries) return {};
  for (uint64_t& entry : mended) entry = swap_bytes(entry);
  return write(offset, mended.data(), mended.size() * 8);
}

IoResult Checker::check_flags() {
  const auto l1 = read_table(header_.l1_offset, header_.l1_size);
  if (!l1) return std::unexpected(l1.error());
  for (const uint64_t entry : *l1) {
    const uint64_t table = entry & kOffsetMask;
    if (table == 0 || table % header_.cluster_size() || !is_within(table)) continue;
    const auto entries = read_table(table, header_.l2_entries());
    if (!entries) return std::unexpected(entries.error());
    if (IoResult done = check_flags_of(*entries, table); !done) return done;
  }
  return check_flags_of(*l1, header_.l1_offset);
}

IoResult Checker::clear_marks() {
  if (IoResult done = file_.barrier(); !done) return done;
  if (header_.version < 3 || report_.errors > report_.repaired_errors) return {};
  constexpr uint64_t kMarks = kDirty | kCorrupt;
  if (!(header_.incompatible_features & kMarks)) return {};
  header_.incompatible_features &= ~kMarks;
  std::byte bytes[8];
  store(bytes, header_.incompatible_features);
  if (IoResult done = write(kIncompatibleFeatures, bytes, sizeof bytes); !done) return done;
  return file_.barrier();
}

}  // namespace alcove::storage::qcow2
