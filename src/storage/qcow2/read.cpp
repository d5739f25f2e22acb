// Reading an image.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "storage/qcow2/compression.h"
#include "storage/qcow2/image.h"

namespace alcove::storage::qcow2 {

IoResult Image::read(uint64_t offset, std::span<const iovec> buffers) {
  const Operations::Scope scope(operations_);
  Cursor cursor(buffers);
  for (uint64_t left = total_size(buffers); left > 0;) {
    const auto extent = mapping_->find(offset, left);
    if (!extent) return std::unexpected(extent.error());
    if (IoResult done = read_extent(offset, *extent, cursor); !done) return done;
    offset += extent->length;
    left -= extent->length;
  }
  return {};
}

bool Image::try_read(uint64_t offset, std::span<const iovec> buffers) {
  const Operations::Scope scope(operations_);
  Cursor cursor(buffers);
  for (uint64_t left = total_size(buffers); left > 0;) {
    const auto extent = mapping_->find_cached(offset, left);
    if (!extent || !try_extent(offset, *extent, cursor)) return false;
    offset += extent->length;
    left -= extent->length;
  }
  return true;
}

bool Image::try_extent(uint64_t offset, const Extent& extent, Cursor& cursor) {
  switch (extent.first.kind) {
    case ClusterKind::data:
      return file_->try_read(extent.first.host, cursor.take(extent.length));
    case ClusterKind::compressed:
      return false;
    case ClusterKind::unallocated:
      if (backing_) {
        if (offset >= backing_->size() || extent.length > backing_->size() - offset) return false;
        return backing_->try_read(offset, cursor.take(extent.length));
      }
      [[fallthrough]];
    case ClusterKind::zero:
      cursor.fill_zero(extent.length);
      return true;
  }
  return false;
}

IoResult Image::read_extent(uint64_t offset, const Extent& extent, Cursor& cursor) {
  switch (extent.first.kind) {
    case ClusterKind::data:
      return file_->read(extent.first.host, cursor.take(extent.length), PastEnd::zeroes);
    case ClusterKind::compressed:
      return read_compressed(offset, extent, cursor);
    case ClusterKind::unallocated:
      return read_backing(offset, extent.length, cursor);
    case ClusterKind::zero:
      cursor.fill_zero(extent.length);
      return {};
  }
  return {};
}

// The backing disk may be smaller.
IoResult Image::read_backing(uint64_t offset, uint64_t size, Cursor& cursor) {
  const uint64_t there = backing_ ? backing_->size() : 0;
  const uint64_t below = offset < there ? std::min(size, there - offset) : 0;
  if (below > 0) {
    if (IoResult done = backing_->read(offset, cursor.take(below)); !done) return done;
  }
  cursor.fill_zero(size - below);
  return {};
}

IoResult Image::read_compressed(uint64_t offset, const Extent& extent, Cursor& cursor) {
  const uint64_t within = offset % header_.cluster_size();
  std::shared_ptr<const std::vector<std::byte>> cluster;
  {
    const std::lock_guard lock(decompressed_mutex_);
    for (const Decompressed& known : decompressed_) {
      if (known.entry == extent.raw) cluster = known.cluster;
    }
  }
  if (!cluster) {
    std::vector<std::byte> data(extent.first.size);
    const iovec buffer{data.data(), data.size()};
    if (IoResult done = file_->read(extent.first.host, {&buffer, 1}, PastEnd::zeroes); !done) return done;
    auto made = std::make_shared<std::vector<std::byte>>(header_.cluster_size());
    if (!decompress(header_.compression, data, *made)) {
      damaged("a compressed cluster is damaged");
      return std::unexpected(EIO);
    }
    cluster = std::move(made);
    const std::lock_guard lock(decompressed_mutex_);
    decompressed_[next_decompressed_++ % decompressed_.size()] = {extent.raw, cluster};
  }
  cursor.copy_from(cluster->data() + within, extent.length);
  return {};
}

IoResult Image::find_data(uint64_t offset, uint64_t length, DataExtent& extent) {
  const Operations::Scope scope(operations_);
  const auto found = mapping_->find(offset, length);
  if (!found) return std::unexpected(found.error());
  extent = {.length = found->length, .has_data = found->first.kind != ClusterKind::zero};
  if (found->first.kind != ClusterKind::unallocated) return {};
  const uint64_t there = backing_ ? backing_->size() : 0;
  if (offset < there) return backing_->find_data(offset, std::min(extent.length, there - offset), extent);
  extent.has_data = false;
  return {};
}

}  // namespace alcove::storage::qcow2
