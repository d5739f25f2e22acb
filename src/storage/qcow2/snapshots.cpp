#include "storage/qcow2/snapshots.h"

#include <algorithm>
#include <cerrno>

#include "storage/qcow2/big_endian.h"

namespace alcove::storage::qcow2 {

using namespace spec::qcow2;

namespace {

constexpr uint32_t kMostExtra = 1024;

}  // namespace

std::expected<SnapshotTable, int> read_snapshots(ImageFile& file, const Header& header) {
  SnapshotTable table;
  for (uint32_t i = 0; i < header.snapshot_count; ++i) {
    const uint64_t at = header.snapshots_offset + table.bytes;
    std::byte fixed[kSnapshotHeaderSize];
    const iovec buffer{fixed, sizeof fixed};
    if (IoResult done = file.read(at, {&buffer, 1}); !done) return std::unexpected(done.error());
    Snapshot snapshot{.l1_offset = load<uint64_t>(fixed + kSnapshotL1Offset),
                      .l1_size = load<uint32_t>(fixed + kSnapshotL1Size),
                      .seconds = load<uint32_t>(fixed + kSnapshotSeconds),
                      .vm_state_size = load<uint32_t>(fixed + kSnapshotVmStateSize)};
    const uint32_t extra = load<uint32_t>(fixed + kSnapshotExtraSize);
    const size_t id = load<uint16_t>(fixed + kSnapshotIdSize),
                 name = load<uint16_t>(fixed + kSnapshotNameSize);
    if (extra > kMostExtra || snapshot.l1_offset % header.cluster_size() ||
        snapshot.l1_offset > kOffsetMask || uint64_t{snapshot.l1_size} * 8 > kMostL1Bytes) {
      return std::unexpected(EINVAL);
    }
    std::vector<std::byte> rest(extra + id + name);
    const iovec rest_buffer{rest.data(), rest.size()};
    if (IoResult done = file.read(at + sizeof fixed, {&rest_buffer, 1}); !done)
      return std::unexpected(done.error());
    if (extra >= kSnapshotExtraVmStateSize + 8)
      snapshot.vm_state_size = load<uint64_t>(&rest[kSnapshotExtraVmStateSize]);
    if (extra >= kSnapshotExtraDiskSize + 8)
      snapshot.disk_size = load<uint64_t>(&rest[kSnapshotExtraDiskSize]);
    snapshot.id.assign(reinterpret_cast<const char*>(rest.data()) + extra, id);
    snapshot.name.assign(reinterpret_cast<const char*>(rest.data()) + extra + id, name);
    table.bytes += (sizeof fixed + rest.size() + 7) & ~uint64_t{7};
    if (table.bytes > kMostSnapshotTableBytes) return std::unexpected(EINVAL);
    table.l1_bytes += uint64_t{snapshot.l1_size} * 8;
    table.snapshots.push_back(std::move(snapshot));
  }
  return table;
}

}  // namespace alcove::storage::qcow2
