// Tells files from others, and from themselves before they were changed.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>

namespace alcove::storage {

// The FNV-1a hash of what stat(2) says of them.
class Identity {
 public:
  void add(const struct stat& status) {
    // A device's inode does not tell what its file system, or another host, has written to it.
    if (!S_ISREG(status.st_mode)) is_known_ = false;
    for (const uint64_t number :
         {uint64_t{status.st_dev}, uint64_t{status.st_ino}, static_cast<uint64_t>(status.st_size),
          static_cast<uint64_t>(status.st_mtim.tv_sec), static_cast<uint64_t>(status.st_mtim.tv_nsec)}) {
      for (unsigned shift = 0; shift < 64; shift += 8) {
        constexpr uint64_t kPrime = 0x100000001b3;
        hash_ = (hash_ ^ (number >> shift & 0xff)) * kPrime;
      }
    }
  }
  // Nothing where one of them may have changed without a trace.
  std::optional<uint64_t> value() const { return is_known_ ? std::optional(hash_) : std::nullopt; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325;
  bool is_known_ = true;
};

}  // namespace alcove::storage
