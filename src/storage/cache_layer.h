// What has been read of a slow disk, in a sparse file on a fast one.
//
// The file: a header, one bit for each block that is there, and the blocks at their places. Bits are written
// when the file is closed: until then it says that it is open, and whoever finds it so begins it anew. So
// nothing of it is ever believed that was not on the medium before.
#pragma once

#include <alcove/error.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/disk.h"
#include "storage/image_file.h"
#include "storage/transfer.h"
#include "support/unique_fd.h"

namespace alcove::storage {

class CacheLayer final : public Disk {
 public:
  static constexpr uint64_t kBlockSize = 64 << 10;
  // Of the disk: its bits take 128 MiB of memory.
  static constexpr uint64_t kMostSize = uint64_t{64} << 40;

  // `fd`: an empty file, or a cache's; any other is an error, and stays as it is. `identity` tells `below`
  // from what it was when its contents were others; where nothing does, the cache is begun anew.
  static Result<std::unique_ptr<CacheLayer>> create(UniqueFd fd, std::unique_ptr<Disk> below,
                                                    std::optional<uint64_t> identity,
                                                    const std::string& where);
  ~CacheLayer() override;

  uint64_t size() const override { return below_->size(); }
  bool is_read_only() const override { return true; }
  IoResult read(uint64_t offset, std::span<const iovec> buffers) override;
  bool try_read(uint64_t offset, std::span<const iovec> buffers) override;
  IoResult write(uint64_t, std::span<const iovec>) override { return std::unexpected(EROFS); }
  IoResult flush() override { return {}; }
  IoResult discard(uint64_t, uint64_t) override { return std::unexpected(EROFS); }
  IoResult write_zeroes(uint64_t, uint64_t, bool) override { return std::unexpected(EROFS); }
  IoResult find_data(uint64_t offset, uint64_t length, DataExtent& extent) override {
    return below_->find_data(offset, length, extent);
  }
  void abandon() override { below_->abandon(); }

 private:
  CacheLayer(std::unique_ptr<ImageFile> file, std::unique_ptr<Disk> below, std::optional<uint64_t> identity);
  uint64_t data_offset() const;
  // Whether it is a cache of this disk that was closed; then its bits are here.
  Result<bool> load(const std::string& where);
  IoResult begin_anew();
  IoResult write_header(bool is_open);
  IoResult close();

  bool has(uint64_t block) const;
  // How far from `offset` on, within `length`, blocks are there, or are not.
  uint64_t run(uint64_t offset, uint64_t length, bool is_there) const;
  IoResult fetch(uint64_t offset, uint64_t length, Cursor& cursor);

  std::unique_ptr<ImageFile> file_;
  std::unique_ptr<Disk> below_;
  const std::optional<uint64_t> identity_;
  std::vector<std::atomic<uint64_t>> bits_;
  std::atomic<bool> can_store_ = true;  // The file system is not full.
};

}  // namespace alcove::storage
