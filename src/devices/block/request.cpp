#include "devices/block/request.h"

#include <algorithm>
#include <span>
#include <utility>

#include "spec/virtio_block.h"

namespace alcove::devices::block {

using namespace spec::virtio;

namespace {

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

// The range in bytes, if it lies on the disk.
std::optional<Range> checked_range(uint64_t sector, uint64_t size, const Limits& limits) {
  const uint64_t sectors = limits.disk_size / kBlockSectorSize;
  if (size % kBlockSectorSize || sector > sectors || size / kBlockSectorSize > sectors - sector)
    return std::nullopt;
  return Range{.offset = sector * kBlockSectorSize, .size = size};
}

// The segments of a discard (5.2.6.2: reserved flags, and unmap in a discard, are "unsupported").
std::variant<std::vector<Range>, Refused> parse_segments(const virtio::Chain& chain, uint32_t known_flags,
                                                         const Limits& limits) {
  const uint64_t size = chain.readable_size() - sizeof(BlockHeader);
  const uint64_t count = size / sizeof(BlockSegment);
  if (count == 0 || size % sizeof(BlockSegment) || count > kMaximumRanges) return Refused{kBlockIoError};
  std::vector<Range> ranges;
  for (uint64_t i = 0; i < count; ++i) {
    BlockSegment segment;
    chain.read(sizeof(BlockHeader) + i * sizeof segment, std::as_writable_bytes(std::span(&segment, 1)));
    if (segment.flags & ~known_flags) return Refused{kBlockUnsupported};
    if (segment.sector_count > kMaximumRangeSectors) return Refused{kBlockIoError};
    auto range = checked_range(segment.sector, segment.sector_count * kBlockSectorSize, limits);
    if (!range) return Refused{kBlockIoError};
    range->may_unmap = segment.flags & kBlockUnmap;
    ranges.push_back(*range);
  }
  return ranges;
}

decltype(Parsed::what) parse_what(const virtio::Chain& chain, const BlockHeader& header,
                                  const Limits& limits) {
  const auto data = [&](uint64_t size) { return checked_range(header.sector, size, limits); };
  const bool changes =
      header.type == kBlockWrite || header.type == kBlockDiscard || header.type == kBlockWriteZeroes;
  if (changes && limits.read_only) return Refused{kBlockIoError};
  switch (header.type) {
    case kBlockRead:
      if (const auto range = data(chain.writable_size() - 1)) return Read{*range};
      return Refused{kBlockIoError};
    case kBlockWrite:
      if (const auto range = data(chain.readable_size() - sizeof header)) return Write{*range};
      return Refused{kBlockIoError};
    case kBlockFlush:
      return Flush{};
    case kBlockGetId:
      if (chain.writable_size() - 1 >= kBlockIdSize) return GetId{};
      return Refused{kBlockIoError};
    case kBlockDiscard:
    case kBlockWriteZeroes: {
      const bool discard = header.type == kBlockDiscard;
      if (!(limits.features & (discard ? kBlockFeatureDiscard : kBlockFeatureWriteZeroes))) break;
      auto ranges = parse_segments(chain, discard ? 0 : kBlockUnmap, limits);
      if (const auto* refused = std::get_if<Refused>(&ranges)) return *refused;
      if (discard) return Discard{std::get<0>(std::move(ranges))};
      return WriteZeroes{std::get<0>(std::move(ranges))};
    }
    default:
      break;
  }
  return Refused{kBlockUnsupported};
}

template <class Do>
storage::IoResult for_each(const std::vector<Range>& ranges, Do action) {
  for (const Range& range : ranges) {
    if (storage::IoResult done = action(range); !done) return done;
  }
  return {};
}

}  // namespace

std::optional<Parsed> parse(virtio::Chain chain, const Limits& limits) {
  BlockHeader header;
  if (chain.writable_size() < 1 ||
      chain.read(0, std::as_writable_bytes(std::span(&header, 1))) < sizeof header) {
    return std::nullopt;
  }
  auto what = parse_what(chain, header, limits);
  // A driver that can't flush takes what is answered for stable (5.2.6.2). What a discard leaves never is.
  const bool writes = std::holds_alternative<Write>(what) || std::holds_alternative<WriteZeroes>(what);
  return Parsed{.what = std::move(what),
                .is_write_through = writes && !(limits.features & kBlockFeatureFlush),
                .chain = std::move(chain)};
}

Processed process(Parsed request, storage::Disk& disk, const std::array<char, 20>& identifier) {
  virtio::Chain& chain = request.chain;
  uint8_t refused = kBlockOk;
  storage::IoResult done = std::visit(
      Overloaded{
          [&](const Read& read) { return disk.read(read.offset, chain.writable_vectors(0, read.size)); },
          [&](const Write& write) {
            return disk.write(write.offset, chain.readable_vectors(sizeof(BlockHeader), write.size));
          },
          [&](Flush) { return disk.flush(); },
          [&](GetId) {
            chain.write(0, std::as_bytes(std::span(identifier)));
            return storage::IoResult();
          },
          [&](const Discard& discard) {
            return for_each(discard.ranges, [&](const Range& r) { return disk.discard(r.offset, r.size); });
          },
          [&](const WriteZeroes& zeroes) {
            return for_each(zeroes.ranges,
                            [&](const Range& r) { return disk.write_zeroes(r.offset, r.size, r.may_unmap); });
          },
          [&](Refused why) {
            refused = why.status;
            return storage::IoResult();
          },
      },
      request.what);
  if (done && request.is_write_through) done = disk.flush();
  return {
      .status = done ? refused : kBlockIoError, .error = done ? 0 : done.error(), .chain = std::move(chain)};
}

void finish(Processed request, virtio::Queue& queue) {
  // The status is the last byte of the writable part, so all of that counts as written.
  const uint64_t size = request.chain.writable_size();
  request.chain.write(size - 1, std::as_bytes(std::span(&request.status, 1)));
  queue.push(request.chain, static_cast<uint32_t>(size));
}

}  // namespace alcove::devices::block
