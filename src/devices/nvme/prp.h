// The places in guest memory that a command names for its data (NVM Express 1.4, section 4.3: physical region
// pages). All distrust of them lives here.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <expected>
#include <span>
#include <vector>

#include "memory/guest_memory.h"
#include "spec/nvme.h"

namespace alcove::devices::nvme {

// Wholly in guest memory.
class DataBuffer {
 public:
  std::span<const iovec> vectors() const { return vectors_; }
  uint64_t size() const { return size_; }

  // Copies from or to its beginning.
  void read(std::span<std::byte> out) const;
  void write(memory::GuestMemory& memory, std::span<const std::byte> in);
  // Call after bytes were written through vectors().
  void mark_written(memory::GuestMemory& memory) const;

 private:
  friend std::expected<DataBuffer, uint16_t> data_buffer(const memory::GuestMemory&, uint64_t, uint64_t,
                                                         uint64_t, bool);
  std::vector<iovec> vectors_;
  std::vector<uint64_t> addresses_;  // The guest's, of each vector.
  uint64_t size_ = 0;
};

// The buffer of `size` bytes (up to a few MiB, the caller has checked it), or the status that the command
// fails with. `to_guest`: it will be written, so that read-only memory will not do.
std::expected<DataBuffer, uint16_t> data_buffer(const memory::GuestMemory& memory, uint64_t prp1,
                                                uint64_t prp2, uint64_t size, bool to_guest);

}  // namespace alcove::devices::nvme
