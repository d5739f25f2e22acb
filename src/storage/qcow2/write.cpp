// Writing an image.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "storage/qcow2/compression.h"
#include "storage/qcow2/image.h"

namespace alcove::storage::qcow2 {

using namespace spec::qcow2;

bool Image::is_in_place(const Extent& extent) const {
  return extent.first.kind == ClusterKind::data && extent.first.exclusive;
}

IoResult Image::write(uint64_t offset, std::span<const iovec> buffers) {
  if (is_damaged_) return std::unexpected(EIO);
  {
    const Operations::Scope scope(operations_);
    Cursor cursor(buffers);
    for (uint64_t left = total_size(buffers); left > 0;) {
      auto extent = mapping_->find(offset, left);
      if (!extent) return std::unexpected(extent.error());
      if (is_in_place(*extent)) {
        if (IoResult done = write_in_place(*extent, cursor); !done) return done;
      } else {
        const uint64_t first = offset >> header_.cluster_bits;
        const uint64_t last = (offset + extent->length - 1) >> header_.cluster_bits;
        const ClusterHolds::Hold hold(holds_, first, last - first + 1);
        const uint64_t length = extent->length;
        extent = mapping_->find(offset, length);  // Another request may have been faster.
        if (!extent) return std::unexpected(extent.error());
        if (is_in_place(*extent)) continue;
        if (IoResult done = write_elsewhere(offset, extent->length, cursor); !done) return done;
      }
      offset += extent->length;
      left -= extent->length;
    }
  }
  if (operations_.freed_clusters() * header_.cluster_size() > kMostFreedBytes)
    collect(operations_.take_unused(), false);
  return {};
}

IoResult Image::write_in_place(const Extent& extent, Cursor& cursor) {
  const uint64_t first = extent.first.host >> header_.cluster_bits;
  const uint64_t last = (extent.first.host + extent.length - 1) >> header_.cluster_bits;
  if (metadata_.overlap(first, last - first + 1)) {
    damaged("a cluster of the disk lies in one of the image's tables");
    return std::unexpected(EIO);
  }
  return file_->write(extent.first.host, cursor.take(extent.length));
}

// Whether the cluster reads as zeroes from this byte on.
bool Image::was_zero(uint64_t offset, uint64_t entry) const {
  const auto parsed = parse_entry(entry, header_);
  if (!parsed) return false;
  if (parsed->kind == ClusterKind::zero) return true;
  return parsed->kind == ClusterKind::unallocated && (!backing_ || offset >= backing_->size());
}

// Within one cluster, and beyond the disk's end zeroes.
IoResult Image::old_contents(uint64_t offset, std::span<std::byte> out, uint64_t entry) {
  const auto parsed = parse_entry(entry, header_);
  if (!parsed) return std::unexpected(EIO);
  Extent extent{.first = *parsed, .raw = entry, .length = out.size()};
  if (parsed->kind == ClusterKind::data) extent.first.host += offset % header_.cluster_size();
  const iovec buffer{out.data(), out.size()};
  Cursor cursor({&buffer, 1});
  return read_extent(offset, extent, cursor);
}

// Clusters that the caller holds, within one slice, and none of which can be written where it is.
IoResult Image::write_elsewhere(uint64_t offset, uint64_t size, Cursor& cursor) {
  const uint64_t cluster_size = header_.cluster_size();
  while (size > 0) {
    const uint64_t first = offset >> header_.cluster_bits;
    const uint64_t last = (offset + size - 1) >> header_.cluster_bits;
    auto entries = mapping_->entries(first, last - first + 1);
    if (!entries) return std::unexpected(entries.error());
    // Zeroes may have a place already, which stays theirs.
    const auto parsed = parse_entry(entries->front(), header_);
    ClusterRun run;
    const bool is_new = !parsed || parsed->host == 0 || !parsed->exclusive;
    if (is_new) {
      uint64_t most = 1;
      while (most < entries->size()) {
        const auto next = parse_entry((*entries)[most], header_);
        if (next && next->host != 0 && next->exclusive) break;
        ++most;
      }
      const auto allocated = refcounts_->allocate(most);
      if (!allocated) return std::unexpected(allocated.error());
      run = *allocated;
    } else {
      run = {.first = parsed->host >> header_.cluster_bits, .count = 1};
      if (metadata_.overlap(run.first, 1)) {
        damaged("a cluster of the disk lies in one of the image's tables");
        return std::unexpected(EIO);
      }
    }
    entries->resize(run.count);
    const uint64_t here = std::min(size, run.count * cluster_size - offset % cluster_size);
    IoResult done = write_run(offset, here, cursor, run, *entries);
    if (!done) {
      if (is_new) refcounts_->give_back(run.first, run.count);
      return done;
    }
    if (is_new) {
      for (const uint64_t entry : *entries) add_freed(entry, true);
    }
    offset += here;
    size -= here;
  }
  return {};
}

IoResult Image::write_run(uint64_t offset, uint64_t size, Cursor& cursor, const ClusterRun& run,
                          std::span<const uint64_t> entries) {
  const uint64_t cluster_size = header_.cluster_size();
  const uint64_t begin = offset / cluster_size * cluster_size;
  const uint64_t end = begin + run.count * cluster_size;
  const uint64_t before = offset - begin, after = end - offset - size;
  uint64_t host = run.first << header_.cluster_bits;
  // What the request does not cover of its first and last cluster.
  std::vector<std::byte> head, tail;
  if (before > 0 && !(run.reads_as_zero && was_zero(begin, entries.front()))) {
    head.resize(before);
    if (IoResult done = old_contents(begin, head, entries.front()); !done) return done;
  }
  if (after > 0 && !(run.reads_as_zero && was_zero(offset + size, entries.back()))) {
    tail.resize(after);
    if (IoResult done = old_contents(offset + size, tail, entries.back()); !done) return done;
  }
  const std::span<const iovec> data = cursor.take(size);
  IoResult done;
  if (head.empty() && tail.empty()) {
    done = file_->write(host + before, data);
  } else {
    std::vector<iovec> all;
    if (!head.empty()) all.push_back({head.data(), head.size()});
    all.insert(all.end(), data.begin(), data.end());
    if (!tail.empty()) all.push_back({tail.data(), tail.size()});
    done = file_->write(head.empty() ? host + before : host, all);
  }
  if (!done) return done;
  std::vector<uint64_t> changed;
  // Until the new data are on the medium, what was there before must be found: nothing but zeroes is found
  // in either place.
  bool may_settle = !file_->is_synchronized() || run.reads_as_zero;
  for (uint64_t i = 0; i < run.count; ++i, host += cluster_size) {
    changed.push_back(host | kCopied);
    may_settle = may_settle && (!file_->is_synchronized() || was_zero(begin + i * cluster_size, entries[i]));
  }
  return mapping_->set_entries(begin >> header_.cluster_bits, changed,
                               may_settle ? Settle::at_once : Settle::after_data);
}

void Image::add_freed(uint64_t entry, bool discard) {
  const auto parsed = parse_entry(entry, header_);
  if (!parsed || parsed->host == 0) return;
  const uint64_t first = parsed->host >> header_.cluster_bits;
  uint64_t last = first;
  if (parsed->kind == ClusterKind::compressed) {
    last = (parsed->host + parsed->size - 1) >> header_.cluster_bits;
    discard = false;  // Others may lie in the same cluster.
  }
  operations_.add_freed({.first = first, .count = last - first + 1, .discard = discard});
}

// Tables without them are written, or will be by Mapping::settle().
void Image::collect(const std::vector<Freed>& unused, bool are_tables_safe) {
  if (unused.empty()) return;
  if (!are_tables_safe && (!mapping_->settle() || !file_->barrier())) return;
  for (const Freed& freed : unused) {
    bool is_only_use = freed.discard && !metadata_.overlap(freed.first, freed.count);
    for (uint64_t i = 0; i < freed.count && is_only_use; ++i)
      is_only_use = refcounts_->count_of(freed.first + i) == 1;
    if (is_only_use) {
      // Before it is counted as free, when nobody else has it yet.
      (void)file_->discard(freed.first << header_.cluster_bits, freed.count << header_.cluster_bits);
    }
    if (!refcounts_->release(freed.first, freed.count)) return;
  }
}

IoResult Image::flush() {
  if (is_read_only()) return {};
  const std::vector<Freed> unused = operations_.take_unused();
  IoResult done = mapping_->settle();
  if (done) done = file_->flush();
  if (!done) return done;
  collect(unused, true);
  return {};
}

IoResult Image::write_compressed(uint64_t offset, std::span<const std::byte> cluster) {
  const iovec plain{const_cast<std::byte*>(cluster.data()),
                    std::min<uint64_t>(cluster.size(), size_ - offset)};
  const auto data = compress(header_.compression, cluster);
  if (!data) return write(offset, {&plain, 1});
  const uint64_t cluster_size = header_.cluster_size();
  // They lie one behind the other, across the clusters' borders as long as clusters are side by side.
  while (packed_end_ - packed_at_ < data->size()) {
    const auto run = refcounts_->allocate(1);
    if (!run) return std::unexpected(run.error());
    const uint64_t next = run->first << header_.cluster_bits;
    if (next != packed_end_) packed_at_ = next;
    packed_end_ = next + cluster_size;
  }
  if (packed_at_ % cluster_size != 0) {
    if (IoResult done = refcounts_->retain(packed_at_ >> header_.cluster_bits); !done) return done;
  }
  // The length is told in sectors from the one that it begins in.
  const uint64_t sectors =
      (packed_at_ % kCompressedUnit + data->size() + kCompressedUnit - 1) / kCompressedUnit;
  const iovec buffer{const_cast<std::byte*>(data->data()), data->size()};
  if (IoResult done = file_->write(packed_at_, {&buffer, 1}); !done) return done;
  const uint64_t entry = kCompressed | packed_at_ | (sectors - 1) << (62 - (header_.cluster_bits - 8));
  IoResult done = mapping_->set_entries(offset >> header_.cluster_bits, {&entry, 1}, Settle::at_once);
  if (!done) return done;
  packed_at_ += data->size();
  return {};
}

}  // namespace alcove::storage::qcow2
