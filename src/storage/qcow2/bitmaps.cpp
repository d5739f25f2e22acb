#include "storage/qcow2/bitmaps.h"

#include <cerrno>

#include "storage/qcow2/big_endian.h"

namespace alcove::storage::qcow2 {

using namespace spec::qcow2;

namespace {

constexpr uint64_t kMostDirectoryBytes = 64 << 20;

}  // namespace

std::expected<std::vector<FileRange>, int> bitmap_ranges(ImageFile& file, const Header& header) {
  std::vector<FileRange> ranges;
  if (!header.bitmaps) return ranges;
  const BitmapsExtension& bitmaps = *header.bitmaps;
  if (bitmaps.directory_size > kMostDirectoryBytes || bitmaps.directory_offset > kOffsetMask)
    return std::unexpected(EINVAL);
  ranges.push_back({bitmaps.directory_offset, bitmaps.directory_size});
  std::vector<std::byte> directory(bitmaps.directory_size);
  const iovec buffer{directory.data(), directory.size()};
  if (IoResult done = file.read(bitmaps.directory_offset, {&buffer, 1}); !done)
    return std::unexpected(done.error());
  uint64_t at = 0, all_entries = 0;
  for (uint32_t i = 0; i < bitmaps.count; ++i) {
    if (directory.size() - at < kBitmapEntrySize) return std::unexpected(EINVAL);
    const std::byte* entry = &directory[at];
    const uint64_t offset = load<uint64_t>(entry + kBitmapTableOffset);
    const uint64_t entries = load<uint32_t>(entry + kBitmapTableSize);
    const uint64_t size = kBitmapEntrySize + uint64_t{load<uint32_t>(entry + kBitmapExtraSize)} +
                          load<uint16_t>(entry + kBitmapNameSize);
    at += (size + 7) & ~uint64_t{7};
    if (at > directory.size() || offset > kOffsetMask) return std::unexpected(EINVAL);
    // Tables may be said to lie in each other, so the file is no bound.
    all_entries += entries;
    if (all_entries > kMostBitmapClusters) return std::unexpected(E2BIG);
    ranges.push_back({offset, entries * 8});
    std::vector<uint64_t> table(entries);
    const iovec table_buffer{table.data(), entries * 8};
    if (table.empty()) continue;
    if (IoResult done = file.read(offset, {&table_buffer, 1}); !done) return std::unexpected(done.error());
    for (const uint64_t number : table) {
      const uint64_t cluster = swap_bytes(number) & kOffsetMask;
      if (cluster != 0) ranges.push_back({cluster, header.cluster_size()});
    }
  }
  return ranges;
}

}  // namespace alcove::storage::qcow2
