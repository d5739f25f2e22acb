// Folders of the host that a guest mounts (virtio-fs).
#pragma once

#include <alcove/error.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace alcove {

// What a guest may keep of what it has read. docs/shared-folders.md tells what each means to guest and host.
enum class SharedDirectoryCachingMode {
  none,       // Nothing: the host's changes are there at once, at the price of asking for everything.
  automatic,  // Names and attributes for a second, contents until they change. "auto" in machine files.
  always,     // Everything, and it writes later: for folders that nobody else changes meanwhile.
};

// All files seem to belong to one user and group of the guest's; what it says about owners is accepted and
// forgotten. Nor are the set-user-id and set-group-id bits of files kept. On the host everything is done as,
// and belongs to, the user who runs the machine.
struct SquashedOwnership {
  uint32_t user = 0;
  uint32_t group = 0;

  bool operator==(const SquashedOwnership&) const = default;
};

// `count` ids from `host` on are the guest's ids from `guest` on.
struct IDRange {
  uint32_t host = 0;
  uint32_t guest = 0;
  uint32_t count = 1;

  bool operator==(const IDRange&) const = default;
};

// Owners are the host's, renumbered. Others than in the ranges are shown as 65534 (nobody) and can't be set.
// To make files of other users than the one who runs the machine takes the host's root.
struct MappedOwnership {
  std::vector<IDRange> users;
  std::vector<IDRange> groups;

  bool operator==(const MappedOwnership&) const = default;
};

// Owners and modes that the guest sets are kept beside each file, in its extended attribute
// "user.containers.override_stat", and mean nothing to the host, where everything belongs to the user who
// runs the machine. What has no such attribute, as symbolic links never have, belongs to `user` and `group`.
struct VirtualOwnership {
  uint32_t user = 0;
  uint32_t group = 0;

  bool operator==(const VirtualOwnership&) const = default;
};

using SharedDirectoryOwnership = std::variant<SquashedOwnership, MappedOwnership, VirtualOwnership>;

// A folder of the host. The guest reaches what is below it and nothing else, with the rights of the user who
// runs the machine, whoever asks in the guest.
struct SharedDirectory {
  std::filesystem::path path;
  bool read_only = false;
  SharedDirectoryOwnership ownership;
  SharedDirectoryCachingMode caching_mode = SharedDirectoryCachingMode::automatic;
  // Locks of files (fcntl(2), flock(2)) hold for the host's programs and other guests, too, and theirs for
  // this guest. A process of the guest that waits for a lock can't be ended until it gets it.
  bool shared_locks = false;

  bool operator==(const SharedDirectory&) const = default;
};

// The guest's mount is that folder.
struct SingleDirectoryShare {
  SharedDirectory directory;

  bool operator==(const SingleDirectoryShare&) const = default;
};

// The guest's mount is a folder that can't be changed, with each of the directories in it by its name.
struct MultipleDirectoryShare {
  std::map<std::string, SharedDirectory> directories;

  // A name is one to 255 bytes of UTF-8, neither "." nor "..", and has neither "/" nor control characters.
  static Result<> validate_name(std::string_view name);
  // A valid name like `name`; nothing if nothing would be left of it.
  static std::optional<std::string> canonicalized_name(std::string_view name);

  bool operator==(const MultipleDirectoryShare&) const = default;
};

using DirectoryShare = std::variant<SingleDirectoryShare, MultipleDirectoryShare>;

// A virtio file system device. In a Linux guest: mount -t virtiofs TAG FOLDER
struct VirtioFileSystemDeviceConfiguration {
  // Required: what the guest calls it; 1 to 36 bytes of UTF-8 without control characters, no other's.
  std::string tag;
  // Without one the guest's mount is an empty folder.
  std::optional<DirectoryShare> share;
  // Where a Linux guest with systemd 254 or later mounts it by itself: an absolute path without blanks and
  // colons. Empty: it does not, but with the tag kAutomountTag it does at /mnt/shared.
  std::string mount_point;
  // The guest maps files themselves, in the host's page cache, instead of keeping copies in its own memory:
  // in a window of this size, a multiple of 2 MiB. 0: it has none. docs/shared-folders.md tells what it
  // gives, and what it takes.
  uint64_t dax_window_size = 0;

  static constexpr std::string_view kAutomountTag = "com.apple.virtio-fs.automount";
  // All of a machine's windows together.
  static constexpr uint64_t kLargestDaxWindows = uint64_t{16} << 30;
  static Result<> validate_tag(std::string_view tag);

  bool operator==(const VirtioFileSystemDeviceConfiguration&) const = default;
};

using DirectorySharingDeviceConfiguration = std::variant<VirtioFileSystemDeviceConfiguration>;

}  // namespace alcove
