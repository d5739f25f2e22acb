// Whom a guest believes its files to belong to.
#pragma once

#include "share/inode_table.h"

namespace alcove::share {

// Of the guest's.
struct Owner {
  uint32_t user = 0;
  uint32_t group = 0;
};

inline constexpr uint32_t kNobody = 65534;  // Shown for ids that are not the guest's.

// What the guest sees instead of the host's owner, mode and device.
struct Seen {
  Owner owner;
  uint32_t mode = 0;
  uint32_t device = 0;  // As FUSE encodes it.
};
// `path` leads to the file; needed, and looked at, with virtual ownership only.
Seen seen(const SharedDirectoryOwnership& ownership, const Status& status, const char* path);

// An id of the other side's. What is none of the share's is kNobody to the guest, and nothing to the host.
uint32_t to_guest(const std::vector<IDRange>& ranges, uint32_t id);
std::optional<uint32_t> to_host(const std::vector<IDRange>& ranges, uint32_t id);

// The host's ids. Nothing, where the guest's are none of the share's.
std::optional<Owner> on_host(const MappedOwnership& ownership, Owner guest);

// Virtual ownership: what the extended attribute says, and as it says it.
inline constexpr const char* kOverrideAttribute = "user.containers.override_stat";
struct Override {
  Owner owner;
  uint32_t mode = 0;  // With type.
  uint32_t device = 0;
};
std::optional<Override> parse_override(std::string_view text, uint32_t host_mode);
std::string format_override(const Override& override);

}  // namespace alcove::share
