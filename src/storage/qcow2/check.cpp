#include "storage/qcow2/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "storage/qcow2/big_endian.h"
#include "storage/qcow2/checker.h"
#include "storage/qcow2/mapping.h"
#include "storage/qcow2/refcounts.h"
#include "storage/qcow2/snapshots.h"

namespace alcove::storage::qcow2 {

using namespace spec::qcow2;

namespace {

constexpr uint64_t kMostClusters = uint64_t{1} << 29;  // A gigabyte for counts.
constexpr size_t kMostMessages = 20;

}  // namespace

void Checker::error(std::string message) {
  ++report_.errors;
  if (report_.messages.size() < kMostMessages) report_.messages.push_back(std::move(message));
}

// Of what it would have named nothing is known: that may be in use, and counted right.
void Checker::unreadable(std::string message) {
  error(std::move(message));
  is_complete_ = false;
}

bool Checker::go_on(double done) {
  return !options_.progress || options_.progress(done);
}

std::expected<std::vector<uint64_t>, int> Checker::read_table(uint64_t offset, uint64_t entries) {
  std::vector<uint64_t> table(entries);
  const iovec buffer{table.data(), entries * 8};
  if (entries == 0) return table;
  if (IoResult done = file_.read(offset, {&buffer, 1}, PastEnd::zeroes); !done)
    return std::unexpected(done.error());
  for (uint64_t& entry : table) entry = swap_bytes(entry);
  return table;
}

IoResult Checker::add(uint64_t offset, uint64_t size) {
  if (size == 0) return {};
  const uint64_t first = offset >> header_.cluster_bits, last = (offset + size - 1) >> header_.cluster_bits;
  if (last >= kMostClusters) return std::unexpected(EFBIG);
  if (last >= counts_.size()) counts_.resize(last + 1);
  for (uint64_t cluster = first; cluster <= last; ++cluster) {
    if (counts_[cluster] != UINT16_MAX) ++counts_[cluster];
  }
  return {};
}

IoResult Checker::add_metadata(uint64_t offset, uint64_t size) {
  if (size == 0) return {};
  if (!is_within(offset)) {
    unreadable(fmt::format("a table at {:#x} lies beyond the file's end", offset));
    return {};
  }
  metadata_.add(offset >> header_.cluster_bits, header_.clusters(size));
  return add(offset, size);
}

IoResult Checker::count_references() {
  IoResult done = add_metadata(0, header_.cluster_size());
  if (done) done = add_metadata(header_.l1_offset, uint64_t{header_.l1_size} * 8);
  auto snapshots = read_snapshots(file_, header_);
  if (!snapshots && snapshots.error() != EINVAL && snapshots.error() != EIO)
    return std::unexpected(snapshots.error());
  if (!snapshots) {
    unreadable("the table of snapshots can't be");
    snapshots = SnapshotTable{};
  }
  if (snapshots->l1_bytes > kMostSnapshotL1Bytes) return std::unexpected(EOVERFLOW);
  if (done) done = add_metadata(header_.snapshots_offset, snapshots->bytes);
  for (const Snapshot& snapshot : snapshots->snapshots) {
    if (done) done = add_metadata(snapshot.l1_offset, uint64_t{snapshot.l1_size} * 8);
  }
  const auto bitmaps = bitmap_ranges(file_, header_);
  if (!bitmaps && bitmaps.error() == E2BIG) return std::unexpected(E2BIG);
  if (!bitmaps) {
    unreadable("the directory of bitmaps can't be");
  } else {
    for (const FileRange& range : *bitmaps) {
      if (done) done = add_metadata(range.offset, range.size);
    }
  }
  const uint64_t table_bytes = header_.refcount_table_clusters * header_.cluster_size();
  if (!is_within(header_.refcount_table_offset)) {
    error("the table of reference counts lies beyond the file's end");
    ++wrong_counts_;
  } else if (done) {
    done = add_metadata(header_.refcount_table_offset, table_bytes);
  }
  for (uint64_t i = 0; i < header_.refcount_table_clusters; ++i)
    count_clusters_.push_back((header_.refcount_table_offset >> header_.cluster_bits) + i);
  if (!done) return done;
  auto blocks = read_table(header_.refcount_table_offset, table_bytes / 8);
  if (!blocks) return std::unexpected(blocks.error());
  blocks_ = *std::move(blocks);
  for (uint64_t& block : blocks_) {
    block &= kRefcountOffsetMask;
    if (block == 0) continue;
    if (block % header_.cluster_size() || !is_within(block)) {
      error(fmt::format("a block of reference counts at {:#x} can't be", block));
      ++wrong_counts_;
      block = 0;
      continue;
    }
    if (done = add_metadata(block, header_.cluster_size()); !done) return done;
    count_clusters_.push_back(block >> header_.cluster_bits);
  }
  if (done = count_tables(header_.l1_offset, header_.l1_size, true); !done) return done;
  for (const Snapshot& snapshot : snapshots->snapshots) {
    if (done = count_tables(snapshot.l1_offset, snapshot.l1_size, false); !done) return done;
  }
  return {};
}

IoResult Checker::count_tables(uint64_t l1_offset, uint64_t l1_size, bool is_active) {
  const auto l1 = read_table(l1_offset, l1_size);
  if (!l1) return std::unexpected(l1.error());
  // All tables before what they lead to: data in one of them are an error.
  std::vector<uint64_t> tables;
  for (const uint64_t entry : *l1) {
    const uint64_t table = entry & kOffsetMask;
    tables.push_back(0);
    if (table == 0) continue;
    if (table % header_.cluster_size() || !is_within(table)) {
      unreadable(fmt::format("an L2 table at {:#x} can't be", table));
      continue;
    }
    tables.back() = table;
    if (metadata_.overlap(table >> header_.cluster_bits, 1) && is_active)
      error(fmt::format("an L2 table lies in another table, at {:#x}", table));
    if (IoResult done = add(table, header_.cluster_size()); !done) return done;
  }
  if (is_active) {
    std::vector<uint64_t> clusters;
    for (const uint64_t table : tables) {
      if (table != 0) clusters.push_back(table >> header_.cluster_bits);
    }
    metadata_.add(clusters);
  }
  for (size_t i = 0; i < tables.size(); ++i) {
    if (tables[i] == 0) continue;
    if (!go_on(0.9 * static_cast<double>(i) / static_cast<double>(tables.size())))
      return std::unexpected(ECANCELED);
    if (IoResult done = count_entries(tables[i], i * header_.l2_entries(), is_active); !done) return done;
  }
  return {};
}

IoResult Checker::count_entries(uint64_t table, uint64_t guest_cluster, bool is_active) {
  const auto entries = read_table(table, header_.l2_entries());
  if (!entries) return std::unexpected(entries.error());
  for (size_t i = 0; i < entries->size(); ++i) {
    const auto entry = parse_entry((*entries)[i], header_);
    const uint64_t guest = (guest_cluster + i) << header_.cluster_bits;
    if (!entry) {
      unreadable(
          fmt::format("the entry for {:#x} of the disk is none that can be ({:#x})", guest, (*entries)[i]));
      continue;
    }
    if (entry->host == 0) continue;
    if (!is_within(entry->host)) {
      std::string message =
          fmt::format("{:#x} of the disk lies at {:#x}, beyond the file's end", guest, entry->host);
      if (entry->host >> header_.cluster_bits >= kMostClusters) {
        unreadable(std::move(message));
        continue;
      }
      error(std::move(message));
    }
    const uint64_t size = entry->kind == ClusterKind::compressed ? entry->size : header_.cluster_size();
    if (metadata_.overlap(entry->host >> header_.cluster_bits, 1))
      error(fmt::format("{:#x} of the disk lies in a table, at {:#x}", guest, entry->host));
    if (is_active) {
      ++report_.allocated_clusters;
      report_.compressed_clusters += entry->kind == ClusterKind::compressed ? 1 : 0;
    }
    if (IoResult done = add(entry->host, size); !done) return done;
  }
  return {};
}

// Counts in the file with those found.
IoResult Checker::compare() {
  const uint64_t per_block = header_.refcounts_per_block();
  std::vector<std::byte> block(header_.cluster_size());
  const uint64_t blocks = std::max<uint64_t>(blocks_.size(), (counts_.size() + per_block - 1) / per_block);
  for (uint64_t index = 0; index < blocks; ++index) {
    const bool exists = index < blocks_.size() && blocks_[index] != 0;
    const uint64_t first = index * per_block;
    if (!exists && first >= counts_.size()) continue;
    if (!go_on(0.9 + 0.1 * static_cast<double>(index) / static_cast<double>(blocks)))
      return std::unexpected(ECANCELED);
    if (exists) {
      const iovec buffer{block.data(), block.size()};
      if (IoResult done = file_.read(blocks_[index], {&buffer, 1}, PastEnd::zeroes); !done) return done;
    }
    bool is_changed = false;
    for (uint64_t i = 0; i < per_block; ++i) {
      const uint64_t cluster = first + i;
      const uint64_t found = cluster < counts_.size() ? counts_[cluster] : 0;
      const uint64_t told = exists ? get_count(block.data(), header_.refcount_order, i) : 0;
      if (found != 0 && cluster >= report_.end) report_.end = cluster + 1;
      if (told == found || (found == UINT16_MAX && told > found)) continue;
      if (told > found) {
        ++report_.leaks;
        if (!options_.repair_leaks || !is_complete_) continue;
        set_count(block.data(), header_.refcount_order, i, found);
        is_changed = true;
      } else {
        ++wrong_counts_;
        error(fmt::format("the cluster at {:#x} is in use {} times and counted {} times",
                          cluster << header_.cluster_bits, found, told));
      }
    }
    if (is_changed) {
      if (IoResult done = write(blocks_[index], block.data(), block.size()); !done) return done;
    }
  }
  report_.end <<= header_.cluster_bits;
  return {};
}

std::expected<CheckReport, int> Checker::run() {
  const auto length = file_.length();
  if (!length) return std::unexpected(length.error());
  file_clusters_ = header_.clusters(*length);
  report_.disk_clusters = header_.clusters(header_.size);
  IoResult done = count_references();
  if (done) done = compare();
  const bool repairs_errors = options_.repair_errors && is_complete_;
  if (done && repairs_errors && wrong_counts_ > 0) done = rebuild();
  if (done) done = check_flags();
  if (done && repairs_errors) done = clear_marks();
  if (!done) return std::unexpected(done.error());
  if (options_.repair_leaks && is_complete_) report_.repaired_leaks = report_.leaks;
  if ((options_.repair_leaks || options_.repair_errors) && !is_complete_)
    report_.messages.push_back("nothing was repaired: what the tables that can't be lead to is not known");
  return report_;
}

Result<CheckReport> check(ImageFile& file, const Header& header, const CheckOptions& options,
                          const std::string& where) {
  auto report = Checker(file, header, options).run();
  if (report) return *std::move(report);
  switch (report.error()) {
    case ECANCELED:
      return fail(ErrorCode::operation_cancelled, where, "the check was cancelled");
    case EOVERFLOW:
      return fail(ErrorCode::not_supported, where, "has snapshots with L1 tables too large to be checked",
                  "delete some with qemu-img snapshot -d");
    case E2BIG:
      return fail(ErrorCode::not_supported, where, "has dirty bitmaps with too many clusters to be checked",
                  "remove some with qemu-img bitmap --remove");
    case EFBIG:
      return fail(ErrorCode::not_supported, where, "has too many clusters to be checked");
    default:
      return fail(ErrorCode::invalid_disk_image, where,
                  fmt::format("can't be checked: {}", std::strerror(report.error())));
  }
}

}  // namespace alcove::storage::qcow2
