#include "storage/qcow2/image.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "storage/qcow2/big_endian.h"
#include "storage/qcow2/check.h"

namespace alcove::storage::qcow2 {

using namespace spec::qcow2;

namespace {

constexpr uint64_t kSector = 512;

std::unexpected<Error> unreadable(int error, const std::string& where) {
  if (error == EINVAL || error == EIO) {
    return fail(ErrorCode::invalid_disk_image, where, "has tables that can't be",
                "the image is damaged: see `alcove disk check`");
  }
  return fail(ErrorCode::invalid_disk_image, where, fmt::format("can't be read: {}", std::strerror(error)));
}

}  // namespace

Result<Header> read_header(ImageFile& file, const std::string& where) {
  const auto length = file.length();
  if (!length) return unreadable(length.error(), where);
  std::vector<std::byte> start(std::min<uint64_t>(*length, kOurHeaderSize));
  // Again, when it tells how long its clusters are.
  for (int pass = 0; pass < 2; ++pass) {
    const iovec buffer{start.data(), start.size()};
    if (IoResult done = file.read(0, {&buffer, 1}, PastEnd::zeroes); !done)
      return unreadable(done.error(), where);
    if (pass == 1 || start.size() < kVersion2HeaderSize || !has_magic(start)) break;
    const uint32_t bits =
        std::clamp(load<uint32_t>(&start[kClusterBits]), kLeastClusterBits, kMostClusterBits);
    start.resize(std::min(*length, uint64_t{1} << bits));
  }
  return parse_header(start, where);
}

Result<std::unique_ptr<Image>> Image::create(std::unique_ptr<ImageFile> file, std::unique_ptr<Disk> backing,
                                             const std::string& where) {
  auto header = read_header(*file, where);
  if (!header) return std::unexpected(std::move(header.error()));
  if (!file->is_read_only() && header->incompatible_features & kCorrupt) {
    return fail(ErrorCode::invalid_disk_image, where, "is marked as damaged",
                "repair it with `alcove disk check --repair`, or attach it read-only and save what is there");
  }
  if (!file->is_read_only() && header->incompatible_features & kDirty) {
    const auto report = check(*file, *header, {.repair_leaks = true, .repair_errors = true}, where);
    if (!report) return std::unexpected(report.error());
    if (report->errors > report->repaired_errors) {
      return fail(ErrorCode::invalid_disk_image, where, "was not closed properly, and can't be repaired",
                  "see `alcove disk check`");
    }
    header = read_header(*file, where);
    if (!header) return std::unexpected(std::move(header.error()));
  }
  std::unique_ptr<Image> image(new Image(std::move(file), std::move(backing), *std::move(header)));
  if (Result<> opened = image->open(where); !opened) return std::unexpected(std::move(opened.error()));
  return image;
}

Result<> Image::open(const std::string& where) {
  if (header_.size == 0) {
    return fail(ErrorCode::invalid_disk_image, where, "holds a disk of no size",
                "give it one with `alcove disk resize`");
  }
  const Refcounts::Damaged on_damage = [this](const char* what) { damaged(what); };
  metadata_.add(0);
  const uint64_t l1_bytes = uint64_t{header_.l1_size} * 8;
  std::vector<uint64_t> tables;
  const auto add_table = [&](uint64_t offset, uint64_t bytes) {
    for (uint64_t i = 0; i < header_.clusters(bytes); ++i)
      tables.push_back((offset >> header_.cluster_bits) + i);
  };
  add_table(header_.l1_offset, l1_bytes);
  add_table(header_.refcount_table_offset, header_.refcount_table_clusters * header_.cluster_size());
  auto snapshots = read_snapshots(*file_, header_);
  if (!snapshots) return unreadable(snapshots.error(), where);
  if (snapshots->l1_bytes > kMostSnapshotL1Bytes) {
    return fail(ErrorCode::not_supported, where,
                fmt::format("has snapshots with L1 tables of {} bytes together, more than {}",
                            snapshots->l1_bytes, kMostSnapshotL1Bytes),
                "delete some with qemu-img snapshot -d");
  }
  if (header_.snapshot_count > 0) add_table(header_.snapshots_offset, snapshots->bytes);
  for (const Snapshot& snapshot : snapshots->snapshots)
    add_table(snapshot.l1_offset, uint64_t{snapshot.l1_size} * 8);
  snapshots_ = std::move(snapshots->snapshots);
  metadata_.add(tables);
  if (!is_read_only()) {
    refcounts_ = std::make_unique<Refcounts>(*file_, header_, metadata_, on_damage);
    if (IoResult done = refcounts_->load(); !done) return unreadable(done.error(), where);
  }
  mapping_ = std::make_unique<Mapping>(*file_, header_, metadata_, operations_, refcounts_.get(), on_damage);
  if (IoResult done = mapping_->load(); !done) return unreadable(done.error(), where);
  if (is_read_only()) return {};
  if (IoResult done = prepare_to_write(); !done) return unreadable(done.error(), where);
  return {};
}

IoResult Image::write_number(size_t at, uint64_t number) {
  std::byte bytes[8];
  store(bytes, number);
  const iovec buffer{bytes, sizeof bytes};
  return file_->write(at, {&buffer, 1});
}

// What is said of the image that writing makes untrue.
IoResult Image::prepare_to_write() {
  if (header_.autoclear_features == 0) return {};
  header_.autoclear_features = 0;
  if (IoResult done = write_number(kAutoclearFeatures, 0); !done) return done;
  return file_->barrier();
}

void Image::damaged(const char*) {
  if (is_damaged_.exchange(true) || is_read_only() || header_.version < 3) return;
  (void)write_number(kIncompatibleFeatures, header_.incompatible_features | kCorrupt);
}

Image::~Image() {
  if (is_read_only() || !refcounts_ || !mapping_) return;
  (void)mapping_->settle();
  if (is_damaged_) return;
  collect(operations_.take_unused(), false);
  (void)refcounts_->close();
}

Result<> Image::resize(uint64_t size, bool may_shrink, const std::string& where) {
  const auto failed = [&](int error) {
    return fail(error == ENOSPC ? ErrorCode::out_of_disk_space : ErrorCode::invalid_disk_image, where,
                fmt::format("can't be resized: {}", std::strerror(error)));
  };
  if (is_read_only()) return fail(ErrorCode::invalid_disk_image, where, "is read-only");
  if (size == 0 || size % kSector) {
    return fail(ErrorCode::invalid_disk_image, where, fmt::format("{} bytes are no multiple of 512", size));
  }
  const uint64_t old = size_;
  if (size == old) return {};
  if (size < old && !may_shrink) {
    return fail(ErrorCode::invalid_disk_image, where,
                fmt::format("holds {} bytes: what lies beyond {} would be lost", old, size));
  }
  if (header_.snapshot_count > 0 && (size < old || header_.version < 3)) {
    return fail(ErrorCode::not_supported, where, "has snapshots of its present size",
                "delete them with qemu-img snapshot -d");
  }
  const uint64_t entries = size / header_.l2_reach() + (size % header_.l2_reach() ? 1 : 0);
  if (entries * 8 > kMostL1Bytes) {
    return fail(ErrorCode::invalid_disk_image, where,
                fmt::format("can't hold {} bytes in clusters of {}", size, header_.cluster_size()),
                "convert it to an image with larger clusters");
  }
  if (size < old) {
    if (IoResult done = discard(size, old - size); !done) return failed(done.error());
  }
  if (entries > header_.l1_size) {
    if (Result<> grown = grow_l1(entries, where); !grown) return grown;
  }
  // What the last cluster and the backing disk have beyond the end was no part of the disk.
  const uint64_t hidden_end = std::min(
      size, std::max(header_.clusters(old) * header_.cluster_size(), backing_ ? backing_->size() : 0));
  size_ = size;
  header_.size = size;
  if (hidden_end > old) {
    if (IoResult done = write_zeroes(old, hidden_end - old, true); !done) {
      size_ = header_.size = old;
      return failed(done.error());
    }
  }
  IoResult done = mapping_->settle();  // The zeroes.
  if (done) done = file_->barrier();
  if (done) done = write_number(kSize, size);
  if (done) done = file_->barrier();
  if (!done) return failed(done.error());
  return {};
}

// A longer table elsewhere, which comes into force with one write to the header.
Result<> Image::grow_l1(uint64_t entries, const std::string& where) {
  const auto failed = [&](int error) {
    return fail(error == ENOSPC ? ErrorCode::out_of_disk_space : ErrorCode::invalid_disk_image, where,
                fmt::format("can't be resized: {}", std::strerror(error)));
  };
  const uint64_t clusters = header_.clusters(entries * 8);
  const auto first = refcounts_->allocate_table(clusters);
  if (!first) return failed(first.error());
  return mapping_->make_l1_longer(entries, [&](const std::vector<uint64_t>& l1) -> Result<> {
    std::vector<std::byte> bytes(clusters * header_.cluster_size());
    for (size_t i = 0; i < l1.size(); ++i) store(&bytes[i * 8], l1[i]);
    const uint64_t offset = *first << header_.cluster_bits;
    const iovec buffer{bytes.data(), bytes.size()};
    IoResult done = file_->write(offset, {&buffer, 1});
    if (done) done = file_->barrier();
    std::byte place[12];
    store(place, static_cast<uint32_t>(entries));
    store(place + 4, offset);
    const iovec header_fields{place, sizeof place};
    if (done) done = file_->write(kL1Size, {&header_fields, 1});
    if (done) done = file_->barrier();
    if (!done) return failed(done.error());
    const uint64_t old_first = header_.l1_offset >> header_.cluster_bits;
    const uint64_t old_clusters = header_.clusters(uint64_t{header_.l1_size} * 8);
    header_.l1_size = static_cast<uint32_t>(entries);
    header_.l1_offset = offset;
    metadata_.add(*first, clusters);
    metadata_.remove(old_first, old_clusters);
    operations_.add_freed({.first = old_first, .count = old_clusters});
    return {};
  });
}

}  // namespace alcove::storage::qcow2
