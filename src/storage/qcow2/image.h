// A disk in a qcow2 image.
//
// Tables are written in such an order that a process or host that dies leaves at most clusters that are
// counted and not used: counts are on the medium before a cluster is handed out (Refcounts), data are written
// before the table that leads to them, and on the medium before it if something else was found in their place
// (Settle), and clusters are counted as free after the tables without them are on the medium (Operations,
// collect()).
#pragma once

#include <alcove/error.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "storage/image_file.h"
#include "storage/qcow2/cluster_holds.h"
#include "storage/qcow2/mapping.h"
#include "storage/qcow2/snapshots.h"
#include "storage/transfer.h"

namespace alcove::storage::qcow2 {

// Freed clusters that may wait before they are used again, unless a flush comes first.
inline constexpr uint64_t kMostFreedBytes = 1 << 30;

// The file's header, as far as one can tell that it is a qcow2 image's.
Result<Header> read_header(ImageFile& file, const std::string& where);

class Image final : public Disk {
 public:
  // `backing` is what clusters that are not allocated read as; none: zeroes. The caller decides whether the
  // image's header names one that may be used. An image that was not closed properly (the dirty bit) is
  // repaired if it is to be written.
  static Result<std::unique_ptr<Image>> create(std::unique_ptr<ImageFile> file, std::unique_ptr<Disk> backing,
                                               const std::string& where);
  ~Image() override;

  uint64_t size() const override { return size_; }
  bool is_read_only() const override { return file_->is_read_only(); }
  IoResult read(uint64_t offset, std::span<const iovec> buffers) override;
  bool try_read(uint64_t offset, std::span<const iovec> buffers) override;
  IoResult write(uint64_t offset, std::span<const iovec> buffers) override;
  IoResult flush() override;
  IoResult discard(uint64_t offset, uint64_t size) override;
  IoResult write_zeroes(uint64_t offset, uint64_t size, bool may_unmap) override;
  IoResult find_data(uint64_t offset, uint64_t length, DataExtent& extent) override;
  Result<> resize(uint64_t size, bool may_shrink, const std::string& where) override;

  const Header& header() const { return header_; }
  const std::vector<Snapshot>& snapshots() const { return snapshots_; }
  ImageFile& file() { return *file_; }

  // Writes a whole cluster compressed, if that makes it smaller; for images that are being made, by one
  // thread.
  IoResult write_compressed(uint64_t offset, std::span<const std::byte> cluster);

 private:
  Image(std::unique_ptr<ImageFile> file, std::unique_ptr<Disk> backing, Header header)
      : file_(std::move(file)),
        backing_(std::move(backing)),
        header_(std::move(header)),
        size_(header_.size) {}
  Result<> open(const std::string& where);
  IoResult prepare_to_write();
  void damaged(const char* what);

  bool try_extent(uint64_t offset, const Extent& extent, Cursor& cursor);
  IoResult read_extent(uint64_t offset, const Extent& extent, Cursor& cursor);
  IoResult read_backing(uint64_t offset, uint64_t size, Cursor& cursor);
  IoResult read_compressed(uint64_t offset, const Extent& extent, Cursor& cursor);

  bool is_in_place(const Extent& extent) const;
  IoResult write_in_place(const Extent& extent, Cursor& cursor);
  IoResult write_elsewhere(uint64_t offset, uint64_t size, Cursor& cursor);
  IoResult write_run(uint64_t offset, uint64_t size, Cursor& cursor, const ClusterRun& run,
                     std::span<const uint64_t> entries);
  IoResult old_contents(uint64_t offset, std::span<std::byte> out, uint64_t entry);
  bool was_zero(uint64_t offset, uint64_t entry) const;

  IoResult clear(uint64_t offset, uint64_t size, bool discard, bool may_unmap);
  IoResult clear_clusters(uint64_t first, uint64_t count, bool discard, bool may_unmap);
  IoResult write_literal_zeroes(uint64_t offset, uint64_t size);
  void add_freed(uint64_t entry, bool discard);
  void collect(const std::vector<Freed>& unused, bool are_tables_safe);

  Result<> grow_l1(uint64_t entries, const std::string& where);
  IoResult write_number(size_t at, uint64_t number);

  std::unique_ptr<ImageFile> file_;
  std::unique_ptr<Disk> backing_;
  Header header_;
  std::atomic<uint64_t> size_;
  std::vector<Snapshot> snapshots_;
  MetadataClusters metadata_;
  Operations operations_;
  ClusterHolds holds_;
  std::unique_ptr<Refcounts> refcounts_;  // None for images that are only read.
  std::unique_ptr<Mapping> mapping_;
  std::atomic<bool> is_damaged_ = false;  // Nothing is written any more.

  struct Decompressed {
    uint64_t entry = 0;
    std::shared_ptr<const std::vector<std::byte>> cluster;
  };
  std::mutex decompressed_mutex_;  // Guards what follows.
  std::array<Decompressed, 4> decompressed_;
  size_t next_decompressed_ = 0;

  // Where write_compressed() goes on.
  uint64_t packed_at_ = 0, packed_end_ = 0;
};

}  // namespace alcove::storage::qcow2
