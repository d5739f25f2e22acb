// Wire facts of the qcow2 image format (QEMU's docs/interop/qcow2.txt), versions 2 and 3. Everything in a
// file is big-endian. No behaviour.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::spec::qcow2 {

inline constexpr uint32_t kMagic = 0x514649fb;  // "QFI\xfb"

// "Header": where fields are, in bytes.
inline constexpr size_t kVersion = 4;
inline constexpr size_t kBackingFileOffset = 8;  // 64 bits
inline constexpr size_t kBackingFileSize = 16;
inline constexpr size_t kClusterBits = 20;
inline constexpr size_t kSize = 24;  // 64 bits
inline constexpr size_t kCryptMethod = 32;
inline constexpr size_t kL1Size = 36;               // Entries.
inline constexpr size_t kL1TableOffset = 40;        // 64 bits
inline constexpr size_t kRefcountTableOffset = 48;  // 64 bits
inline constexpr size_t kRefcountTableClusters = 56;
inline constexpr size_t kSnapshotCount = 60;
inline constexpr size_t kSnapshotsOffset = 64;  // 64 bits
inline constexpr size_t kVersion2HeaderSize = 72;
// Version 3 alone.
inline constexpr size_t kIncompatibleFeatures = 72;  // 64 bits
inline constexpr size_t kCompatibleFeatures = 80;    // 64 bits
inline constexpr size_t kAutoclearFeatures = 88;     // 64 bits
inline constexpr size_t kRefcountOrder = 96;
inline constexpr size_t kHeaderLength = 100;
inline constexpr size_t kCompressionType = 104;  // 8 bits, where the header is longer than 104.
inline constexpr size_t kVersion3HeaderSize = 104;
inline constexpr size_t kOurHeaderSize = 112;

inline constexpr uint64_t kDirty = 1 << 0;
inline constexpr uint64_t kCorrupt = 1 << 1;
inline constexpr uint64_t kExternalDataFile = 1 << 2;
inline constexpr uint64_t kHasCompressionType = 1 << 3;
inline constexpr uint64_t kExtendedL2 = 1 << 4;
inline constexpr uint64_t kLazyRefcounts = 1 << 0;      // Compatible.
inline constexpr uint64_t kBitmapsConsistent = 1 << 0;  // Autoclear.

inline constexpr uint32_t kCryptNone = 0, kCryptAes = 1, kCryptLuks = 2;
inline constexpr uint8_t kZlib = 0, kZstd = 1;

inline constexpr uint32_t kLeastClusterBits = 9, kMostClusterBits = 21;
inline constexpr uint32_t kMostRefcountOrder = 6;
inline constexpr uint32_t kVersion2RefcountOrder = 4;
inline constexpr uint32_t kLongestBackingFile = 1023;

// "Header extensions": type and length, 32 bits each, then data up to a multiple of 8.
inline constexpr uint32_t kExtensionEnd = 0;
inline constexpr uint32_t kExtensionBackingFormat = 0xe2792aca;
inline constexpr uint32_t kExtensionFeatureNames = 0x6803f857;
inline constexpr uint32_t kExtensionBitmaps = 0x23852875;

// Entries of L1, L2 and refcount tables.
inline constexpr uint64_t kOffsetMask = 0x00ff'ffff'ffff'fe00;
inline constexpr uint64_t kRefcountOffsetMask = 0xffff'ffff'ffff'fe00;
inline constexpr uint64_t kCopied = uint64_t{1} << 63;
inline constexpr uint64_t kCompressed = uint64_t{1} << 62;
inline constexpr uint64_t kReadsAsZero = 1;
inline constexpr uint64_t kCompressedUnit = 512;

// "Snapshots": the fixed part of an entry; extra data, ID and name follow, up to a multiple of 8.
inline constexpr size_t kSnapshotL1Offset = 0;  // 64 bits
inline constexpr size_t kSnapshotL1Size = 8;
inline constexpr size_t kSnapshotIdSize = 12;    // 16 bits
inline constexpr size_t kSnapshotNameSize = 14;  // 16 bits
inline constexpr size_t kSnapshotSeconds = 16;
inline constexpr size_t kSnapshotVmStateSize = 32;
inline constexpr size_t kSnapshotExtraSize = 36;
inline constexpr size_t kSnapshotHeaderSize = 40;
inline constexpr size_t kSnapshotExtraVmStateSize = 0;  // 64 bits; within the extra data.
inline constexpr size_t kSnapshotExtraDiskSize = 8;     // 64 bits

// "Bitmaps extension" and the directory that it names.
inline constexpr size_t kBitmapCount = 0;
inline constexpr size_t kBitmapDirectorySize = 8;     // 64 bits
inline constexpr size_t kBitmapDirectoryOffset = 16;  // 64 bits
inline constexpr size_t kBitmapExtensionSize = 24;
inline constexpr size_t kBitmapTableOffset = 0;  // 64 bits; within a directory's entry.
inline constexpr size_t kBitmapTableSize = 8;    // Entries.
inline constexpr size_t kBitmapNameSize = 18;    // 16 bits
inline constexpr size_t kBitmapExtraSize = 20;
inline constexpr size_t kBitmapEntrySize = 24;

}  // namespace alcove::spec::qcow2
