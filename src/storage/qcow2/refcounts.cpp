#include "storage/qcow2/refcounts.h"

#include <algorithm>
#include <cerrno>

#include "storage/qcow2/big_endian.h"

namespace alcove::storage::qcow2 {

using namespace spec::qcow2;

namespace {

constexpr uint64_t kMostBlockBytes = 4 << 20;  // In memory.
constexpr uint64_t kMostBatchBytes = 64 << 20;
constexpr uint64_t kLeastBatch = 4;

IoResult write_bytes(ImageFile& file, uint64_t offset, const std::byte* data, size_t size) {
  const iovec buffer{const_cast<std::byte*>(data), size};
  return file.write(offset, {&buffer, 1});
}

}  // namespace

uint64_t get_count(const std::byte* block, uint32_t order, uint64_t index) {
  switch (order) {
    case 3:
      return load<uint8_t>(block + index);
    case 4:
      return load<uint16_t>(block + index * 2);
    case 5:
      return load<uint32_t>(block + index * 4);
    case 6:
      return load<uint64_t>(block + index * 8);
    default: {
      const uint64_t bit = index << order;
      return std::to_integer<uint64_t>(block[bit / 8]) >> bit % 8 & ((1u << (1u << order)) - 1);
    }
  }
}

void set_count(std::byte* block, uint32_t order, uint64_t index, uint64_t count) {
  switch (order) {
    case 3:
      return store(block + index, static_cast<uint8_t>(count));
    case 4:
      return store(block + index * 2, static_cast<uint16_t>(count));
    case 5:
      return store(block + index * 4, static_cast<uint32_t>(count));
    case 6:
      return store(block + index * 8, count);
    default: {
      const uint64_t bit = index << order;
      const auto mask = static_cast<std::byte>(((1u << (1u << order)) - 1) << bit % 8);
      block[bit / 8] = (block[bit / 8] & ~mask) | (static_cast<std::byte>(count << bit % 8) & mask);
    }
  }
}

Refcounts::Refcounts(ImageFile& file, Header& header, MetadataClusters& metadata, Damaged damaged)
    : file_(file),
      header_(header),
      metadata_(metadata),
      damaged_(std::move(damaged)),
      per_block_(header.refcounts_per_block()) {}

IoResult Refcounts::damage(const char* what) {
  damaged_(what);
  return std::unexpected(EIO);
}

IoResult Refcounts::load() {
  const std::lock_guard lock(mutex_);
  std::vector<std::byte> bytes(header_.refcount_table_clusters * header_.cluster_size());
  const iovec buffer{bytes.data(), bytes.size()};
  if (IoResult done = file_.read(header_.refcount_table_offset, {&buffer, 1}, PastEnd::zeroes); !done)
    return done;
  table_.resize(bytes.size() / 8);
  std::vector<uint64_t> blocks;
  for (size_t i = 0; i < table_.size(); ++i) {
    table_[i] = qcow2::load<uint64_t>(&bytes[i * 8]) & kRefcountOffsetMask;
    if (table_[i] % header_.cluster_size() || table_[i] > kOffsetMask)
      return damage("a reference count block does not lie on a cluster");
    if (table_[i] != 0) blocks.push_back(table_[i] >> header_.cluster_bits);
  }
  metadata_.add(blocks);
  const auto length = file_.length();
  if (!length) return std::unexpected(length.error());
  untouched_from_ = file_.is_block_device() ? UINT64_MAX : header_.clusters(*length);
  return {};
}

void Refcounts::evict() {
  const uint64_t most = std::max<uint64_t>(4, kMostBlockBytes >> header_.cluster_bits);
  while (blocks_.size() > most) {
    blocks_.erase(
        std::ranges::min_element(blocks_, {}, [](const auto& entry) { return entry.second.last_use; }));
  }
}

// Null if there is none and none is to be made. What it points to is valid until the next call.
std::expected<Refcounts::Block*, int> Refcounts::block(uint64_t index, bool make) {
  if (const auto found = blocks_.find(index); found != blocks_.end()) {
    found->second.last_use = ++uses_;
    return &found->second;
  }
  if (index >= table_.size() || table_[index] == 0) {
    if (!make) return nullptr;
    return make_block(index);
  }
  Block loaded{.counts = std::vector<std::byte>(header_.cluster_size()), .last_use = ++uses_};
  const iovec buffer{loaded.counts.data(), loaded.counts.size()};
  if (IoResult done = file_.read(table_[index], {&buffer, 1}, PastEnd::zeroes); !done)
    return std::unexpected(done.error());
  Block* result = &blocks_.insert_or_assign(index, std::move(loaded)).first->second;
  evict();
  return result;
}

// It lies in the first of the clusters that it counts, all of which are free where there is no block.
std::expected<Refcounts::Block*, int> Refcounts::make_block(uint64_t index) {
  if (index >= table_.size()) {
    if (IoResult grown = grow_table(index); !grown) return std::unexpected(grown.error());
    if (table_[index] != 0) return block(index, false);
  }
  const uint64_t cluster = index * per_block_;
  if (metadata_.overlap(cluster, 1)) return std::unexpected(damage("a table is not counted").error());
  Block made{.counts = std::vector<std::byte>(header_.cluster_size()), .last_use = ++uses_};
  set_count(made.counts.data(), header_.refcount_order, 0, 1);
  const uint64_t offset = cluster << header_.cluster_bits;
  IoResult done = write_bytes(file_, offset, made.counts.data(), made.counts.size());
  if (done) done = file_.barrier();
  if (done) {
    std::byte entry[8];
    store(entry, offset);
    done = write_bytes(file_, header_.refcount_table_offset + index * 8, entry, sizeof entry);
  }
  if (!done) return std::unexpected(done.error());
  metadata_.add(cluster);
  table_[index] = offset;
  touch(cluster + 1);
  Block* result = &blocks_.insert_or_assign(index, std::move(made)).first->second;
  evict();
  return result;
}

// A larger table, and the blocks that count its clusters, lie where the old table counts nothing yet. They
// come into force with one write to the header.
IoResult Refcounts::grow_table(uint64_t index) {
  const uint64_t cluster_size = header_.cluster_size();
  const uint64_t old_entries = table_.size();
  uint64_t clusters = 0, blocks = 1;
  while (true) {
    const uint64_t entries = std::max({index + 1, old_entries + old_entries / 2, old_entries + blocks});
    clusters = header_.clusters(entries * 8);
    if (clusters + blocks <= blocks * per_block_) break;
    ++blocks;
  }
  if (clusters * cluster_size > kMostRefcountTableBytes) return std::unexpected(EFBIG);
  const uint64_t first = old_entries * per_block_;
  const uint64_t table_cluster = first + blocks;
  if (first + blocks + clusters > kOffsetMask >> header_.cluster_bits) return std::unexpected(EFBIG);
  if (metadata_.overlap(first, blocks + clusters)) return damage("a table is not counted");

  std::vector<uint64_t> table = table_;
  table.resize(clusters * cluster_size / 8);
  std::vector<std::byte> bytes((blocks + clusters) * cluster_size);
  for (uint64_t i = 0; i < blocks; ++i) table[old_entries + i] = (first + i) << header_.cluster_bits;
  for (uint64_t i = 0; i < blocks + clusters; ++i)
    set_count(&bytes[i / per_block_ * cluster_size], header_.refcount_order, i % per_block_, 1);
  for (size_t i = 0; i < table.size(); ++i) store(&bytes[blocks * cluster_size + i * 8], table[i]);
  IoResult done = write_bytes(file_, first << header_.cluster_bits, bytes.data(), bytes.size());
  if (done) done = file_.barrier();
  std::byte place[12];
  store(place, table_cluster << header_.cluster_bits);
  store(place + 8, static_cast<uint32_t>(clusters));
  if (done) done = write_bytes(file_, kRefcountTableOffset, place, sizeof place);
  if (done) done = file_.barrier();
  if (!done) return done;

  const uint64_t old_first = header_.refcount_table_offset >> header_.cluster_bits;
  const uint64_t old_clusters = header_.refcount_table_clusters;
  header_.refcount_table_offset = table_cluster << header_.cluster_bits;
  header_.refcount_table_clusters = static_cast<uint32_t>(clusters);
  table_ = std::move(table);
  metadata_.remove(old_first, old_clusters);
  metadata_.add(first, blocks + clusters);
  if (untouched_from_ != UINT64_MAX) untouched_from_ = std::max(untouched_from_, first + blocks + clusters);
  first_free_ = std::min(first_free_, old_first);
  return change(old_first, old_clusters, [](uint64_t& value) { return value-- != 0; });
}

// `changed` gets each count, and is false if that is not as it must be. The file has the new counts after it.
IoResult Refcounts::change(uint64_t first, uint64_t count,
                           const std::function<bool(uint64_t& value)>& changed) {
  while (count > 0) {
    const uint64_t index = first / per_block_, from = first % per_block_;
    const uint64_t here = std::min(count, per_block_ - from);
    auto found = block(index, true);
    if (!found) return std::unexpected(found.error());
    std::byte* counts = (*found)->counts.data();
    bool valid = true;
    for (uint64_t i = from; i < from + here && valid; ++i) {
      uint64_t value = get_count(counts, header_.refcount_order, i);
      valid = changed(value);
      if (valid) set_count(counts, header_.refcount_order, i, value);
    }
    const uint64_t begin = from << header_.refcount_order >> 3;
    const uint64_t end = (((from + here) << header_.refcount_order) + 7) >> 3;
    IoResult done = valid ? write_bytes(file_, table_[index] + begin, counts + begin, end - begin)
                          : damage("a cluster that is in use is counted as free");
    if (!done) {
      blocks_.erase(index);  // The file knows better.
      return done;
    }
    first += here;
    count -= here;
  }
  return {};
}

IoResult Refcounts::reserve() {
  const uint64_t wanted = std::max(kLeastBatch, batch_bytes_ >> header_.cluster_bits);
  batch_bytes_ = std::min(batch_bytes_ * 2, kMostBatchBytes);
  const uint64_t end = kOffsetMask >> header_.cluster_bits;
  std::vector<ClusterRun> found;
  uint64_t total = 0;
  while (found.empty()) {
    const uint64_t index = first_free_ / per_block_;
    if (first_free_ >= end) return std::unexpected(ENOSPC);
    uint64_t at = first_free_ % per_block_;
    auto here = block(index, true);
    if (!here) return std::unexpected(here.error());
    const std::byte* counts = (*here)->counts.data();
    for (; at < per_block_ && total < wanted && index * per_block_ + at < end; ++at) {
      if (get_count(counts, header_.refcount_order, at) != 0) continue;
      const uint64_t cluster = index * per_block_ + at;
      if (!found.empty() && found.back().first + found.back().count == cluster) {
        ++found.back().count;
      } else {
        found.push_back({.first = cluster, .count = 1});
      }
      ++total;
    }
    first_free_ = index * per_block_ + at;
  }
  for (const ClusterRun& run : found) {
    if (metadata_.overlap(run.first, run.count)) return damage("a table is not counted");
    IoResult done = change(run.first, run.count, [](uint64_t& value) { return value++ == 0; });
    if (!done) return done;
  }
  if (IoResult done = file_.barrier(); !done) return done;
  reserved_.assign(found.rbegin(), found.rend());
  return {};
}

std::expected<ClusterRun, int> Refcounts::allocate(uint64_t most) {
  const std::lock_guard lock(mutex_);
  if (reserved_.empty()) {
    if (IoResult done = reserve(); !done) return std::unexpected(done.error());
  }
  ClusterRun& from = reserved_.back();
  ClusterRun run{.first = from.first, .count = std::min(most, from.count)};
  if (run.first < untouched_from_) {
    run.count = std::min(run.count, untouched_from_ - run.first);
  } else {
    run.reads_as_zero = true;
    untouched_from_ = run.first + run.count;
  }
  from.first += run.count;
  from.count -= run.count;
  if (from.count == 0) reserved_.pop_back();
  return run;
}

std::expected<uint64_t, int> Refcounts::allocate_table(uint64_t count) {
  const std::lock_guard lock(mutex_);
  // Behind everything: rare, and a search for so many side by side would be long.
  const auto length = file_.length();
  if (!length) return std::unexpected(length.error());
  const uint64_t end = header_.clusters(*length);
  if (count >= per_block_) return append(end, count);
  uint64_t first = std::max(end, first_free_);
  uint64_t free = 0;
  while (free < count) {
    const uint64_t cluster = first + free;
    if (cluster > kOffsetMask >> header_.cluster_bits) return std::unexpected(ENOSPC);
    auto found = block(cluster / per_block_, true);
    if (!found) return std::unexpected(found.error());
    if (get_count((*found)->counts.data(), header_.refcount_order, cluster % per_block_) == 0 &&
        !metadata_.overlap(cluster, 1)) {
      ++free;
    } else {
      first = cluster + 1;
      free = 0;
    }
  }
  IoResult done = change(first, count, [](uint64_t& value) { return value++ == 0; });
  if (done) done = file_.barrier();
  if (!done) return std::unexpected(done.error());
  touch(first + count);
  return first;
}

void Refcounts::touch(uint64_t end) {
  if (untouched_from_ != UINT64_MAX) untouched_from_ = std::max(untouched_from_, end);
}

// Blocks lie among the clusters that they count. So more than one counts lie side by side only where no block
// is yet, behind all that count them.
std::expected<uint64_t, int> Refcounts::append(uint64_t end, uint64_t count) {
  uint64_t blocks = 1;
  while (blocks + count > blocks * per_block_) ++blocks;
  uint64_t index = 0;
  while (true) {
    index = (end + per_block_ - 1) / per_block_;
    for (uint64_t i = index; i < table_.size(); ++i) {
      if (table_[i] != 0) index = i + 1;
    }
    if (index + blocks <= table_.size()) break;
    if (IoResult grown = grow_table(index + blocks - 1); !grown) return std::unexpected(grown.error());
  }
  const uint64_t first = index * per_block_;
  if (metadata_.overlap(first, blocks + count))
    return std::unexpected(damage("a table is not counted").error());
  std::vector<std::byte> counts(blocks << header_.cluster_bits), entries(blocks * 8);
  for (uint64_t i = 0; i < blocks + count; ++i) {
    set_count(&counts[i / per_block_ << header_.cluster_bits], header_.refcount_order, i % per_block_, 1);
  }
  for (uint64_t i = 0; i < blocks; ++i) store(&entries[i * 8], (first + i) << header_.cluster_bits);
  IoResult done = write_bytes(file_, first << header_.cluster_bits, counts.data(), counts.size());
  if (done) done = file_.barrier();
  if (done)
    done = write_bytes(file_, header_.refcount_table_offset + index * 8, entries.data(), entries.size());
  if (done) done = file_.barrier();
  if (!done) return std::unexpected(done.error());
  for (uint64_t i = 0; i < blocks; ++i) table_[index + i] = (first + i) << header_.cluster_bits;
  metadata_.add(first, blocks);
  touch(first + blocks + count);
  return first + blocks;
}

void Refcounts::give_back(uint64_t first, uint64_t count) {
  const std::lock_guard lock(mutex_);
  reserved_.push_back({.first = first, .count = count});
}

IoResult Refcounts::release(uint64_t first, uint64_t count) {
  const std::lock_guard lock(mutex_);
  IoResult done = change(first, count, [](uint64_t& value) { return value-- != 0; });
  first_free_ = std::min(first_free_, first);
  return done;
}

IoResult Refcounts::retain(uint64_t cluster) {
  const std::lock_guard lock(mutex_);
  const unsigned bits = 1u << header_.refcount_order;
  const uint64_t most = bits == 64 ? UINT64_MAX : (uint64_t{1} << bits) - 1;
  return change(cluster, 1, [&](uint64_t& value) { return value < most && ++value != 0; });
}

std::expected<uint64_t, int> Refcounts::count_of(uint64_t cluster) {
  const std::lock_guard lock(mutex_);
  auto found = block(cluster / per_block_, false);
  if (!found) return std::unexpected(found.error());
  if (!*found) return 0;
  return get_count((*found)->counts.data(), header_.refcount_order, cluster % per_block_);
}

IoResult Refcounts::close() {
  const std::lock_guard lock(mutex_);
  for (const ClusterRun& run : std::exchange(reserved_, {})) {
    IoResult done = change(run.first, run.count, [](uint64_t& value) { return value-- != 0; });
    if (!done) return done;
  }
  return {};
}

}  // namespace alcove::storage::qcow2
