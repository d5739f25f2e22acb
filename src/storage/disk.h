// A disk as device models see it, whatever backs it on the host.
#pragma once

#include <alcove/error.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstdint>
#include <expected>
#include <span>
#include <string>

namespace alcove::storage {

// Done, or an errno value (EIO, ENOSPC…) that becomes an I/O error to the guest.
using IoResult = std::expected<void, int>;

// A range that is alike: has data, or reads as zeroes without being stored.
struct DataExtent {
  uint64_t length = 0;
  bool has_data = true;
};

// Offsets and lengths are in bytes, multiples of 512 and within size(): the caller has checked them. Calls
// block until done, and come from several threads at once; the effect of overlapping ones is undefined, as on
// any disk.
class Disk {
 public:
  virtual ~Disk() = default;

  virtual uint64_t size() const = 0;
  virtual bool is_read_only() const = 0;  // Then only read() and flush() are called.

  // The buffers' lengths sum up to the request's; they may be of any alignment, and may be changed by the
  // guest meanwhile.
  virtual IoResult read(uint64_t offset, std::span<const iovec> buffers) = 0;
  // Reads, if the host need not wait for it. False, with anything in the buffers, if it would have to or
  // could not read: then read() tells.
  virtual bool try_read(uint64_t /*offset*/, std::span<const iovec> /*buffers*/) { return false; }
  virtual IoResult write(uint64_t offset, std::span<const iovec> buffers) = 0;
  // What was written before the call is as safe as the disk's configuration promises.
  virtual IoResult flush() = 0;
  // The contents of the range no longer matter; they may change or not.
  virtual IoResult discard(uint64_t offset, uint64_t size) = 0;
  // The range reads as zeroes; if `may_unmap`, it need not take room on the host.
  virtual IoResult write_zeroes(uint64_t offset, uint64_t size, bool may_unmap) = 0;

  // What is at `offset`, and how far on (at most `length`) it is so. For copies that leave holes.
  virtual IoResult find_data(uint64_t /*offset*/, uint64_t length, DataExtent& extent) {
    extent = {.length = length};
    return {};
  }
  // Has another size from now on; what is added reads as zeroes. Requests may be under way, but none beyond
  // either size. Fails with not_supported where the disk can't, or would have to shrink and may not.
  virtual Result<> resize(uint64_t /*size*/, bool /*may_shrink*/, const std::string& where) {
    return fail(ErrorCode::not_supported, where, "this disk's size can't be changed");
  }

  // The machine ends: a request that waits for what may never come fails, within seconds. Any thread,
  // whatever calls are under way.
  virtual void abandon() {}
};

}  // namespace alcove::storage
