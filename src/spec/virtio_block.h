// Wire facts of the virtio block device (virtio 1.2, section 5.2). No behaviour.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::spec::virtio {

inline constexpr uint64_t kBlockSectorSize = 512;

// Section 5.2.3, feature bits.
inline constexpr uint64_t kBlockFeatureSegmentMax = uint64_t{1} << 2;
inline constexpr uint64_t kBlockFeatureReadOnly = uint64_t{1} << 5;
inline constexpr uint64_t kBlockFeatureBlockSize = uint64_t{1} << 6;
inline constexpr uint64_t kBlockFeatureFlush = uint64_t{1} << 9;
inline constexpr uint64_t kBlockFeatureTopology = uint64_t{1} << 10;
inline constexpr uint64_t kBlockFeatureMultiQueue = uint64_t{1} << 12;
inline constexpr uint64_t kBlockFeatureDiscard = uint64_t{1} << 13;
inline constexpr uint64_t kBlockFeatureWriteZeroes = uint64_t{1} << 14;

// Section 5.2.4, configuration layout.
struct [[gnu::packed]] BlockConfiguration {
  uint64_t capacity;  // In sectors of 512 bytes.
  uint32_t size_max;
  uint32_t seg_max;
  uint16_t cylinders;
  uint8_t heads;
  uint8_t sectors;
  uint32_t blk_size;
  uint8_t physical_block_exp;  // Physical block: blk_size << this.
  uint8_t alignment_offset;
  uint16_t min_io_size;
  uint32_t opt_io_size;
  uint8_t writeback;
  uint8_t unused0;
  uint16_t num_queues;
  uint32_t max_discard_sectors;
  uint32_t max_discard_seg;
  uint32_t discard_sector_alignment;
  uint32_t max_write_zeroes_sectors;
  uint32_t max_write_zeroes_seg;
  uint8_t write_zeroes_may_unmap;
  uint8_t unused1[3];
};
static_assert(sizeof(BlockConfiguration) == 60);
static_assert(offsetof(BlockConfiguration, num_queues) == 34);

// Section 5.2.6, requests: this header, data, one status byte.
struct BlockHeader {
  uint32_t type;
  uint32_t reserved;
  uint64_t sector;
};
static_assert(sizeof(BlockHeader) == 16);

inline constexpr uint32_t kBlockRead = 0;
inline constexpr uint32_t kBlockWrite = 1;
inline constexpr uint32_t kBlockFlush = 4;
inline constexpr uint32_t kBlockGetId = 8;
inline constexpr uint32_t kBlockDiscard = 11;
inline constexpr uint32_t kBlockWriteZeroes = 13;

struct BlockSegment {  // Data of discard and write zeroes.
  uint64_t sector;
  uint32_t sector_count;
  uint32_t flags;
};
static_assert(sizeof(BlockSegment) == 16);
inline constexpr uint32_t kBlockUnmap = 1;

inline constexpr uint8_t kBlockOk = 0;
inline constexpr uint8_t kBlockIoError = 1;
inline constexpr uint8_t kBlockUnsupported = 2;

inline constexpr size_t kBlockIdSize = 20;

}  // namespace alcove::spec::virtio
