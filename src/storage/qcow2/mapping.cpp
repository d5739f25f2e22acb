#include "storage/qcow2/mapping.h"

#include <algorithm>
#include <cerrno>

#include "storage/qcow2/big_endian.h"

namespace alcove::storage::qcow2 {

using namespace spec::qcow2;

namespace {

constexpr uint64_t kSliceEntries = 512;
constexpr uint64_t kMostCachedBytes = 32 << 20;
constexpr int kMostAttempts = 4;  // To read a slice while tables change.

std::byte* bytes_of(std::vector<uint64_t>& numbers) {
  return reinterpret_cast<std::byte*>(numbers.data());
}

}  // namespace

std::optional<ClusterEntry> parse_entry(uint64_t entry, const Header& header) {
  if (entry & kCompressed) {
    const unsigned offset_bits = 62 - (header.cluster_bits - 8);
    ClusterEntry parsed{.kind = ClusterKind::compressed, .host = entry & ((uint64_t{1} << offset_bits) - 1)};
    const uint64_t more = (entry & (kCompressed - 1)) >> offset_bits;
    parsed.size = (more + 1) * kCompressedUnit - parsed.host % kCompressedUnit;
    if (entry & kCopied || parsed.host > kOffsetMask) return std::nullopt;
    return parsed;
  }
  ClusterEntry parsed{.exclusive = (entry & kCopied) != 0, .host = entry & kOffsetMask};
  if (parsed.host % header.cluster_size()) return std::nullopt;
  if (entry & kReadsAsZero) {
    if (header.version < 3) return std::nullopt;
    parsed.kind = ClusterKind::zero;
  } else if (parsed.host != 0) {
    parsed.kind = ClusterKind::data;
  }
  return parsed;
}

Mapping::Mapping(ImageFile& file, const Header& header, MetadataClusters& metadata, Operations& operations,
                 Refcounts* refcounts, Refcounts::Damaged damaged)
    : file_(file),
      header_(header),
      metadata_(metadata),
      operations_(operations),
      refcounts_(refcounts),
      damaged_(std::move(damaged)),
      slice_entries_(std::min(kSliceEntries, header.l2_entries())),
      cache_(kMostCachedBytes / (slice_entries_ * 8)) {}

IoResult Mapping::load() {
  std::vector<uint64_t> l1(header_.l1_size);
  const iovec buffer{l1.data(), l1.size() * 8};
  if (!l1.empty()) {
    if (IoResult done = file_.read(header_.l1_offset, {&buffer, 1}, PastEnd::zeroes); !done) return done;
  }
  std::vector<uint64_t> tables;
  for (size_t i = 0; i < l1.size(); ++i) {
    l1[i] = qcow2::load<uint64_t>(bytes_of(l1) + i * 8);
    if (l1[i] & kOffsetMask) tables.push_back((l1[i] & kOffsetMask) >> header_.cluster_bits);
  }
  metadata_.add(tables);
  const std::unique_lock lock(mutex_);
  l1_ = std::move(l1);
  return {};
}

Result<> Mapping::make_l1_longer(uint64_t entries,
                                 const std::function<Result<>(const std::vector<uint64_t>& l1)>& write) {
  const std::lock_guard changing(change_);
  std::vector<uint64_t> l1;
  {
    const std::shared_lock lock(mutex_);
    l1 = l1_;
  }
  l1.resize(entries);
  if (Result<> done = write(l1); !done) return done;
  const std::unique_lock lock(mutex_);
  l1_ = std::move(l1);
  return {};
}

bool Mapping::has_table(uint64_t cluster) const {
  const std::shared_lock lock(mutex_);
  const uint64_t index = cluster / header_.l2_entries();
  return index < l1_.size() && (l1_[index] & kOffsetMask) != 0;
}

uint64_t Mapping::in_slice(uint64_t cluster, uint64_t most) const {
  return std::min(most, slice_entries_ - cluster % slice_entries_);
}

std::expected<uint64_t, int> Mapping::table_of(uint64_t entry) const {
  const uint64_t table = entry & kOffsetMask;
  if (table % header_.cluster_size() == 0) return table;
  damaged_("an L2 table does not lie on a cluster");
  return std::unexpected(EIO);
}

std::expected<std::vector<uint64_t>, int> Mapping::read_slice(uint64_t number, uint64_t table) const {
  const uint64_t slices = header_.l2_entries() / slice_entries_;
  std::vector<uint64_t> entries(slice_entries_);
  const iovec buffer{entries.data(), entries.size() * 8};
  IoResult done = file_.read(table + number % slices * slice_entries_ * 8, {&buffer, 1}, PastEnd::zeroes);
  if (!done) return std::unexpected(done.error());
  for (uint64_t& entry : entries) entry = swap_bytes(entry);
  return entries;
}

template <class Found>
IoResult Mapping::with_slice(uint64_t number, Found found) {
  const uint64_t index = number * slice_entries_ / header_.l2_entries();
  uint64_t changes = 0;
  std::unique_lock changing(change_, std::defer_lock);
  for (int attempt = 0;; ++attempt) {
    if (attempt == kMostAttempts) changing.lock();
    uint64_t table = 0;
    {
      const std::shared_lock lock(mutex_);
      if (const L2Slice* slice = cache_.find(number)) {
        found(slice);
        return {};
      }
      if (index >= l1_.size()) return std::unexpected(EIO);
      const auto place = table_of(l1_[index]);
      if (!place) return std::unexpected(place.error());
      if (*place == 0) {
        found(nullptr);
        return {};
      }
      table = *place;
      changes = changes_;
    }
    auto entries = read_slice(number, table);
    if (!entries) return std::unexpected(entries.error());
    const std::unique_lock lock(mutex_);
    if (const L2Slice* slice = cache_.find(number)) {
      found(slice);
      return {};
    }
    if (changes != changes_) continue;  // What was read may be old already.
    found(cache_.add(number, std::make_unique<L2Slice>(*std::move(entries))));
    return {};
  }
}

Extent Mapping::measure(const L2Slice* slice, uint64_t offset, uint64_t length, bool& valid) const {
  const uint64_t cluster_size = header_.cluster_size();
  const uint64_t within = offset % cluster_size;
  uint64_t at = (offset >> header_.cluster_bits) % slice_entries_;
  if (!slice) {
    const uint64_t rest = (slice_entries_ - at) * cluster_size - within;
    return {.length = std::min(length, rest)};
  }
  Extent extent{.raw = slice->entries[at]};
  const auto first = parse_entry(extent.raw, header_);
  valid = first.has_value();
  if (!valid) return extent;
  extent.first = *first;
  uint64_t clusters = 1;
  const uint64_t most = (length + within + cluster_size - 1) >> header_.cluster_bits;
  for (++at; first->kind != ClusterKind::compressed && at < slice_entries_ && clusters < most;
       ++at, ++clusters) {
    const auto next = parse_entry(slice->entries[at], header_);
    if (!next || next->kind != first->kind || next->exclusive != first->exclusive) break;
    if (first->kind == ClusterKind::data && next->host != first->host + clusters * cluster_size) break;
  }
  extent.length = std::min(length, clusters * cluster_size - within);
  if (first->kind == ClusterKind::data) extent.first.host += within;
  return extent;
}

std::expected<Extent, int> Mapping::find(uint64_t offset, uint64_t length) {
  Extent extent;
  bool valid = true;
  const uint64_t number = (offset >> header_.cluster_bits) / slice_entries_;
  IoResult done =
      with_slice(number, [&](const L2Slice* slice) { extent = measure(slice, offset, length, valid); });
  if (!done) return std::unexpected(done.error());
  if (!valid) {
    damaged_("an entry of an L2 table is none that can be");
    return std::unexpected(EIO);
  }
  return extent;
}

std::optional<Extent> Mapping::find_cached(uint64_t offset, uint64_t length) {
  const std::shared_lock lock(mutex_);
  const uint64_t cluster = offset >> header_.cluster_bits;
  const L2Slice* slice = cache_.find(cluster / slice_entries_);
  const uint64_t index = cluster / header_.l2_entries();
  if (!slice && (index >= l1_.size() || (l1_[index] & kOffsetMask) != 0)) return std::nullopt;
  bool valid = true;
  const Extent extent = measure(slice, offset, length, valid);
  if (!valid) return std::nullopt;
  return extent;
}

std::expected<std::vector<uint64_t>, int> Mapping::entries(uint64_t first, uint64_t count) {
  std::vector<uint64_t> copied(count);
  IoResult done = with_slice(first / slice_entries_, [&](const L2Slice* slice) {
    if (slice)
      std::copy_n(slice->entries.begin() + static_cast<ptrdiff_t>(first % slice_entries_), count,
                  copied.begin());
  });
  if (!done) return std::unexpected(done.error());
  return copied;
}

// Where the L2 table is, which is made if there is none, and copied if a snapshot has it, too.
std::expected<uint64_t, int> Mapping::own_table(uint64_t l1_index) {
  uint64_t entry = 0;
  {
    const std::shared_lock lock(mutex_);
    if (l1_index >= l1_.size()) return std::unexpected(EIO);
    entry = l1_[l1_index];
  }
  const auto old = table_of(entry);
  if (!old || (*old != 0 && entry & kCopied)) return old;
  auto run = refcounts_->allocate(1);
  if (!run) return std::unexpected(run.error());
  const uint64_t offset = run->first << header_.cluster_bits;
  std::vector<std::byte> table(header_.cluster_size());
  const iovec buffer{table.data(), table.size()};
  IoResult done;
  if (*old != 0) done = file_.read(*old, {&buffer, 1}, PastEnd::zeroes);
  if (done) done = file_.write(offset, {&buffer, 1});
  if (done) done = file_.barrier();
  std::byte bytes[8];
  store(bytes, offset | kCopied);
  const iovec l1_entry{bytes, sizeof bytes};
  if (done) done = file_.write(header_.l1_offset + l1_index * 8, {&l1_entry, 1});
  if (!done) {
    refcounts_->give_back(run->first, 1);
    return std::unexpected(done.error());
  }
  metadata_.add(run->first);
  {
    const std::unique_lock lock(mutex_);
    l1_[l1_index] = offset | kCopied;
    ++changes_;
  }
  if (*old != 0) {
    metadata_.remove(*old >> header_.cluster_bits, 1);
    operations_.add_freed({.first = *old >> header_.cluster_bits, .count = 1});
  }
  return offset;
}

IoResult Mapping::set_entries(uint64_t first, std::span<const uint64_t> entries, Settle settle) {
  const std::lock_guard changing(change_);
  const auto table = own_table(first / header_.l2_entries());
  if (!table) return std::unexpected(table.error());
  if (settle == Settle::after_data) return keep_unsettled(first, entries);
  if (IoResult done = write_entries(*table, first, entries); !done) return done;
  const std::unique_lock lock(mutex_);
  if (L2Slice* slice = cache_.find(first / slice_entries_))
    std::ranges::copy(entries, slice->entries.begin() + static_cast<ptrdiff_t>(first % slice_entries_));
  ++changes_;
  return {};
}

IoResult Mapping::write_entries(uint64_t table, uint64_t first, std::span<const uint64_t> entries) {
  std::vector<uint64_t> bytes(entries.begin(), entries.end());
  for (uint64_t& entry : bytes) entry = swap_bytes(entry);
  const iovec buffer{bytes.data(), bytes.size() * 8};
  return file_.write(table + first % header_.l2_entries() * 8, {&buffer, 1});
}

// The caller holds change_.
IoResult Mapping::keep_unsettled(uint64_t first, std::span<const uint64_t> entries) {
  const uint64_t number = first / slice_entries_, at = first % slice_entries_;
  if (unsettled_.size() >= cache_.most() / 4) {
    if (IoResult done = settle_all(); !done) return done;
  }
  while (true) {
    {
      const std::unique_lock lock(mutex_);
      if (L2Slice* slice = cache_.find(number)) {
        std::ranges::copy(entries, slice->entries.begin() + static_cast<ptrdiff_t>(at));
        slice->unsettled = slice->settled_from == 0 ? at : std::min(slice->unsettled, at);
        slice->settled_from = std::max(slice->settled_from, at + entries.size());
        unsettled_.insert(number);
        ++changes_;
        return {};
      }
    }
    if (IoResult done = with_slice(number, [](const L2Slice*) {}); !done) return done;
  }
}

IoResult Mapping::settle() {
  const std::lock_guard changing(change_);
  return settle_all();
}

// The caller holds change_. Those that can't be written are kept.
IoResult Mapping::settle_all() {
  if (unsettled_.empty()) return {};
  IoResult all = file_.barrier();
  if (!all) return all;
  for (auto next = unsettled_.begin(); next != unsettled_.end();) {
    const uint64_t number = *next;
    std::vector<uint64_t> entries;
    uint64_t first = number * slice_entries_, table = 0;
    {
      const std::shared_lock lock(mutex_);
      const L2Slice& slice = *cache_.find(number);
      table = l1_[first / header_.l2_entries()] & kOffsetMask;
      first += slice.unsettled;
      entries.assign(slice.entries.begin() + static_cast<ptrdiff_t>(slice.unsettled),
                     slice.entries.begin() + static_cast<ptrdiff_t>(slice.settled_from));
    }
    if (IoResult done = write_entries(table, first, entries); !done) {
      if (all) all = done;
      ++next;
      continue;
    }
    const std::unique_lock lock(mutex_);
    L2Slice& slice = *cache_.find(number);
    slice.unsettled = slice.settled_from = 0;
    next = unsettled_.erase(next);
  }
  return all;
}

}  // namespace alcove::storage::qcow2
