// Discards and zeroes.
#include <algorithm>
#include <cerrno>

#include "storage/qcow2/image.h"

namespace alcove::storage::qcow2 {

using namespace spec::qcow2;

namespace {

constexpr uint64_t kZeroPiece = 64 << 10;

}  // namespace

IoResult Image::discard(uint64_t offset, uint64_t size) {
  return clear(offset, size, true, true);
}

IoResult Image::write_zeroes(uint64_t offset, uint64_t size, bool may_unmap) {
  return clear(offset, size, false, may_unmap);
}

// Whole clusters by their entries; of others a discard says nothing, and zeroes are written.
IoResult Image::clear(uint64_t offset, uint64_t size, bool discard, bool may_unmap) {
  if (is_damaged_) return std::unexpected(EIO);
  const uint64_t cluster_size = header_.cluster_size();
  const uint64_t end = offset + size;
  uint64_t first = (offset + cluster_size - 1) >> header_.cluster_bits;
  // The last cluster of the disk may be cut by its end.
  uint64_t last = end == size_ ? header_.clusters(end) : end >> header_.cluster_bits;
  if (first >= last) {
    if (discard) return {};
    return write_literal_zeroes(offset, size);
  }
  if (!discard) {
    const uint64_t begin_whole = first * cluster_size, end_whole = std::min(end, last * cluster_size);
    if (IoResult done = write_literal_zeroes(offset, begin_whole - offset); !done) return done;
    if (IoResult done = write_literal_zeroes(end_whole, end - end_whole); !done) return done;
  }
  while (first < last) {
    const uint64_t here = mapping_->in_slice(first, last - first);
    const Operations::Scope scope(operations_);
    const ClusterHolds::Hold hold(holds_, first, here);
    if (IoResult done = clear_clusters(first, here, discard, may_unmap); !done) return done;
    first += here;
  }
  if (operations_.freed_clusters() * cluster_size > kMostFreedBytes)
    collect(operations_.take_unused(), false);
  return {};
}

// Within one slice.
IoResult Image::clear_clusters(uint64_t first, uint64_t count, bool discard, bool may_unmap) {
  const uint64_t cluster_size = header_.cluster_size();
  const bool has_below = backing_ && first * cluster_size < backing_->size();
  if (!mapping_->has_table(first) && (discard || !has_below)) return {};
  if (has_below && header_.version < 3) {
    // Nothing but data hides the backing disk's.
    if (discard) return {};
    const uint64_t begin = first * cluster_size;
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t at = begin + i * cluster_size;
      std::vector<std::byte> zeroes(std::min(cluster_size, size_ - at));
      const iovec buffer{zeroes.data(), zeroes.size()};
      const auto extent = mapping_->find(at, zeroes.size());
      if (!extent) return std::unexpected(extent.error());
      Cursor cursor({&buffer, 1});
      IoResult done =
          is_in_place(*extent) ? write_in_place(*extent, cursor) : write_elsewhere(at, zeroes.size(), cursor);
      if (!done) return done;
    }
    return {};
  }
  const auto old = mapping_->entries(first, count);
  if (!old) return std::unexpected(old.error());
  std::vector<uint64_t> changed = *old;
  for (uint64_t i = 0; i < count; ++i) {
    const auto parsed = parse_entry((*old)[i], header_);
    if (!parsed) {
      damaged("an entry of an L2 table is none that can be");
      return std::unexpected(EIO);
    }
    if (parsed->kind == ClusterKind::unallocated && !has_below) continue;
    if (parsed->kind == ClusterKind::unallocated && discard) continue;
    if (!may_unmap && parsed->exclusive && parsed->host != 0 && header_.version >= 3) {
      changed[i] |= kReadsAsZero;  // The room stays theirs.
    } else {
      changed[i] = has_below ? kReadsAsZero : 0;
    }
  }
  if (changed == *old) return {};
  if (IoResult done = mapping_->set_entries(first, changed, Settle::at_once); !done) return done;
  for (uint64_t i = 0; i < count; ++i) {
    if (changed[i] == (*old)[i] || (changed[i] & kOffsetMask) != 0) continue;
    add_freed((*old)[i], true);
  }
  return {};
}

// Less than a cluster, or two: what reads as zeroes already stays as it is.
IoResult Image::write_literal_zeroes(uint64_t offset, uint64_t size) {
  const std::vector<std::byte> zeroes(std::min(size, kZeroPiece));
  while (size > 0) {
    const auto extent = mapping_->find(offset, std::min<uint64_t>(size, zeroes.size()));
    if (!extent) return std::unexpected(extent.error());
    if (!was_zero(offset, extent->raw)) {
      const iovec buffer{const_cast<std::byte*>(zeroes.data()), extent->length};
      if (IoResult done = write(offset, {&buffer, 1}); !done) return done;
    }
    offset += extent->length;
    size -= extent->length;
  }
  return {};
}

}  // namespace alcove::storage::qcow2
