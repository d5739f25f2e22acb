#include "storage/qcow2/header.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "storage/qcow2/big_endian.h"

namespace alcove::storage::qcow2 {

using namespace spec::qcow2;

namespace {

constexpr uint64_t kSector = 512;

class Parser {
 public:
  Parser(std::span<const std::byte> start, const std::string& where) : start_(start), where_(where) {}

  Result<Header> parse() {
    if (!has_magic(start_)) return bad("does not begin as a qcow2 image does");
    if (start_.size() < kVersion2HeaderSize) return bad("ends within its header");
    header_.version = load<uint32_t>(&start_[kVersion]);
    if (header_.version != 2 && header_.version != 3) {
      return fail(ErrorCode::not_supported, where_,
                  fmt::format("is a qcow2 image of version {}", header_.version),
                  "versions 2 and 3 are supported: convert it with qemu-img convert -O qcow2");
    }
    header_.cluster_bits = load<uint32_t>(&start_[kClusterBits]);
    if (header_.cluster_bits < kLeastClusterBits || header_.cluster_bits > kMostClusterBits)
      return bad(fmt::format("has clusters of 2^{} bytes", header_.cluster_bits));
    uint64_t header_length = kVersion2HeaderSize;
    if (header_.version == 3) {
      if (start_.size() < kVersion3HeaderSize) return bad("ends within its header");
      header_length = load<uint32_t>(&start_[kHeaderLength]);
      if (header_length < kVersion3HeaderSize || header_length % 8 ||
          header_length > std::min(header_.cluster_size(), start_.size())) {
        return bad(fmt::format("has a header of {} bytes", header_length));
      }
    }
    if (auto known = parse_features(header_length); !known) return std::unexpected(known.error());
    if (auto valid = parse_tables(); !valid) return std::unexpected(valid.error());
    // The rest of the first cluster, if there is a backing file up to its name.
    const uint64_t backing_offset = load<uint64_t>(&start_[kBackingFileOffset]);
    uint64_t end = std::min(header_.cluster_size(), start_.size());
    if (backing_offset != 0) {
      const uint32_t size = load<uint32_t>(&start_[kBackingFileSize]);
      if (size > kLongestBackingFile || backing_offset < header_length || backing_offset > end ||
          size > end - backing_offset) {
        return bad("has the name of its backing file outside of its header");
      }
      header_.backing_file.assign(reinterpret_cast<const char*>(&start_[backing_offset]), size);
      if (header_.backing_file.find('\0') != std::string::npos)
        return bad("has a backing file whose name has a null character");
      end = backing_offset;
    }
    if (auto valid = parse_extensions(header_length, end); !valid) return std::unexpected(valid.error());
    return header_;
  }

 private:
  std::unexpected<Error> bad(std::string what) const {
    return fail(ErrorCode::invalid_disk_image, where_, std::move(what), "the image is damaged");
  }

  Result<> parse_features(uint64_t header_length) {
    const uint32_t crypt = load<uint32_t>(&start_[kCryptMethod]);
    if (crypt != kCryptNone) {
      return fail(ErrorCode::not_supported, where_,
                  fmt::format("is encrypted ({})", crypt == kCryptLuks ? "LUKS" : "AES"),
                  "decrypt it with qemu-img convert, or encrypt inside of the guest instead");
    }
    if (header_.version == 2) return {};
    header_.incompatible_features = load<uint64_t>(&start_[kIncompatibleFeatures]);
    header_.compatible_features = load<uint64_t>(&start_[kCompatibleFeatures]);
    header_.autoclear_features = load<uint64_t>(&start_[kAutoclearFeatures]);
    header_.refcount_order = load<uint32_t>(&start_[kRefcountOrder]);
    if (header_.refcount_order > kMostRefcountOrder)
      return bad(fmt::format("has reference counts of 2^{} bits", header_.refcount_order));
    const uint64_t features = header_.incompatible_features;
    if (features & kExternalDataFile) {
      return fail(ErrorCode::not_supported, where_, "keeps its data in a file of its own",
                  "make it one file with qemu-img convert -O qcow2");
    }
    if (features & kExtendedL2) {
      return fail(ErrorCode::not_supported, where_, "has subclusters (extended L2 entries)",
                  "convert it with qemu-img convert -O qcow2 -o extended_l2=off");
    }
    if (const uint64_t unknown = features & ~(kDirty | kCorrupt | kHasCompressionType)) {
      return fail(ErrorCode::not_supported, where_,
                  fmt::format("needs features of qcow2 that are not known here (bits {:#x})", unknown),
                  "convert it with qemu-img convert -O qcow2");
    }
    if (header_length > kCompressionType)
      header_.compression = std::to_integer<uint8_t>(start_[kCompressionType]);
    if ((header_.compression != kZlib) != ((features & kHasCompressionType) != 0))
      return bad("contradicts itself about how clusters are compressed");
    if (header_.compression > kZstd) {
      return fail(
          ErrorCode::not_supported, where_,
          fmt::format("has clusters compressed in a way that is not known here ({})", header_.compression),
          "convert it with qemu-img convert -O qcow2 -o compression_type=zlib");
    }
    return {};
  }

  // A table of `bytes` on cluster borders, which ends before offsets do.
  bool is_table(uint64_t offset, uint64_t bytes) const {
    constexpr uint64_t kEnd = kOffsetMask + kSector;
    return offset % header_.cluster_size() == 0 && offset < kEnd && bytes <= kEnd - offset;
  }

  Result<> parse_tables() {
    header_.size = load<uint64_t>(&start_[kSize]);
    header_.l1_size = load<uint32_t>(&start_[kL1Size]);
    header_.l1_offset = load<uint64_t>(&start_[kL1TableOffset]);
    header_.refcount_table_offset = load<uint64_t>(&start_[kRefcountTableOffset]);
    header_.refcount_table_clusters = load<uint32_t>(&start_[kRefcountTableClusters]);
    header_.snapshot_count = load<uint32_t>(&start_[kSnapshotCount]);
    header_.snapshots_offset = load<uint64_t>(&start_[kSnapshotsOffset]);
    const uint64_t l1_bytes = uint64_t{header_.l1_size} * 8;
    if (l1_bytes > kMostL1Bytes || !is_table(header_.l1_offset, l1_bytes) ||
        (header_.l1_offset == 0 && header_.l1_size != 0)) {
      return bad(fmt::format("has an L1 table of {} entries at {:#x}", header_.l1_size, header_.l1_offset));
    }
    if (header_.size % kSector) {
      return fail(ErrorCode::invalid_disk_image, where_,
                  fmt::format("holds a disk of {} bytes, no multiple of 512", header_.size),
                  "make it whole sectors with qemu-img resize");
    }
    const uint64_t needed = header_.size / header_.l2_reach() + (header_.size % header_.l2_reach() ? 1 : 0);
    if (header_.size > uint64_t{1} << 62 || needed > header_.l1_size)
      return bad(fmt::format("has an L1 table too small for a disk of {} bytes", header_.size));
    const uint64_t refcount_bytes = header_.refcount_table_clusters * header_.cluster_size();
    if (refcount_bytes == 0 || refcount_bytes > kMostRefcountTableBytes ||
        header_.refcount_table_offset == 0 || !is_table(header_.refcount_table_offset, refcount_bytes)) {
      return bad(fmt::format("has a reference count table of {} clusters at {:#x}",
                             header_.refcount_table_clusters, header_.refcount_table_offset));
    }
    if (header_.snapshot_count > kMostSnapshots ||
        (header_.snapshot_count > 0 &&
         (header_.snapshots_offset == 0 || !is_table(header_.snapshots_offset, kMostSnapshotTableBytes)))) {
      return bad(fmt::format("has {} snapshots at {:#x}", header_.snapshot_count, header_.snapshots_offset));
    }
    return {};
  }

  Result<> parse_extensions(uint64_t at, uint64_t end) {
    while (at + 8 <= end) {
      const uint32_t type = load<uint32_t>(&start_[at]);
      const uint32_t size = load<uint32_t>(&start_[at + 4]);
      if (type == kExtensionEnd) break;
      at += 8;
      if (size > end - at) return bad("has a header extension that does not end");
      const std::span<const std::byte> data = start_.subspan(at, size);
      if (type == kExtensionBackingFormat) {
        header_.backing_format.assign(reinterpret_cast<const char*>(data.data()), data.size());
      } else if (type == kExtensionBitmaps) {
        if (size != kBitmapExtensionSize) return bad("has a bitmaps extension of the wrong size");
        header_.bitmaps = {.count = load<uint32_t>(&data[kBitmapCount]),
                           .directory_offset = load<uint64_t>(&data[kBitmapDirectoryOffset]),
                           .directory_size = load<uint64_t>(&data[kBitmapDirectorySize])};
      }
      at += (uint64_t{size} + 7) & ~uint64_t{7};
    }
    return {};
  }

  std::span<const std::byte> start_;
  const std::string& where_;
  Header header_;
};

// What a feature's name table says of one (type 0: incompatible, 1: compatible, 2: autoclear).
struct FeatureName {
  uint8_t type;
  uint8_t bit;
  std::string_view name;
};
constexpr std::array kFeatureNames = {
    FeatureName{0, 0, "dirty bit"},
    FeatureName{0, 1, "corrupt bit"},
    FeatureName{0, 2, "external data file"},
    FeatureName{0, 3, "compression type"},
    FeatureName{0, 4, "extended L2 entries"},
    FeatureName{1, 0, "lazy refcounts"},
    FeatureName{2, 0, "bitmaps"},
};
constexpr size_t kFeatureNameSize = 48;

void add_extension(std::vector<std::byte>& bytes, uint32_t type, std::span<const std::byte> data) {
  const size_t at = bytes.size();
  bytes.resize(at + 8 + ((data.size() + 7) & ~size_t{7}));
  store(&bytes[at], type);
  store(&bytes[at + 4], static_cast<uint32_t>(data.size()));
  std::ranges::copy(data, bytes.begin() + static_cast<ptrdiff_t>(at + 8));
}

}  // namespace

bool has_magic(std::span<const std::byte> start) {
  return start.size() >= 4 && load<uint32_t>(start.data()) == kMagic;
}

Result<Header> parse_header(std::span<const std::byte> start, const std::string& where) {
  return Parser(start, where).parse();
}

Result<std::vector<std::byte>> make_header(const Header& header, const std::string& where) {
  const size_t length = header.version == 2 ? kVersion2HeaderSize : kOurHeaderSize;
  std::vector<std::byte> bytes(length);
  store(&bytes[0], kMagic);
  store(&bytes[kVersion], header.version);
  store(&bytes[kClusterBits], header.cluster_bits);
  store(&bytes[kSize], header.size);
  store(&bytes[kL1Size], header.l1_size);
  store(&bytes[kL1TableOffset], header.l1_offset);
  store(&bytes[kRefcountTableOffset], header.refcount_table_offset);
  store(&bytes[kRefcountTableClusters], header.refcount_table_clusters);
  store(&bytes[kSnapshotCount], header.snapshot_count);
  store(&bytes[kSnapshotsOffset], header.snapshots_offset);
  if (header.version == 3) {
    store(&bytes[kIncompatibleFeatures], header.incompatible_features);
    store(&bytes[kCompatibleFeatures], header.compatible_features);
    store(&bytes[kAutoclearFeatures], header.autoclear_features);
    store(&bytes[kRefcountOrder], header.refcount_order);
    store(&bytes[kHeaderLength], static_cast<uint32_t>(length));
    bytes[kCompressionType] = std::byte{header.compression};
  }
  if (!header.backing_format.empty())
    add_extension(bytes, kExtensionBackingFormat, std::as_bytes(std::span(header.backing_format)));
  // Names for whoever does not know a feature; small clusters have no room for them.
  if (header.version == 3 && header.cluster_size() >= 2048) {
    std::vector<std::byte> names(kFeatureNames.size() * kFeatureNameSize);
    for (size_t i = 0; i < kFeatureNames.size(); ++i) {
      std::byte* entry = &names[i * kFeatureNameSize];
      entry[0] = std::byte{kFeatureNames[i].type};
      entry[1] = std::byte{kFeatureNames[i].bit};
      std::memcpy(entry + 2, kFeatureNames[i].name.data(), kFeatureNames[i].name.size());
    }
    add_extension(bytes, kExtensionFeatureNames, names);
  }
  add_extension(bytes, kExtensionEnd, {});
  if (!header.backing_file.empty()) {
    if (header.backing_file.size() > kLongestBackingFile ||
        bytes.size() + header.backing_file.size() > header.cluster_size()) {
      return fail(ErrorCode::invalid_disk_image, where, "the backing file's name is too long",
                  fmt::format("at most {} bytes",
                              std::min<uint64_t>(kLongestBackingFile, header.cluster_size() - bytes.size())));
    }
    store(&bytes[kBackingFileOffset], uint64_t{bytes.size()});
    store(&bytes[kBackingFileSize], static_cast<uint32_t>(header.backing_file.size()));
    const auto name = std::as_bytes(std::span(header.backing_file));
    bytes.insert(bytes.end(), name.begin(), name.end());
  }
  bytes.resize(header.cluster_size());
  return bytes;
}

}  // namespace alcove::storage::qcow2
