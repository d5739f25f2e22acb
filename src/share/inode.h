// What a guest knows by a node number: a file, folder or whatever else is in a shared tree.
#pragma once

#include <alcove/directory_sharing.h>
#include <sys/stat.h>

#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "support/unique_fd.h"

namespace alcove::share {

template <class T = void>
using Outcome = std::expected<T, int>;  // Failures are errnos.

inline std::unexpected<int> failure(int error) {
  return std::unexpected(error);
}

// Of a system call that gives 0, or -1.
inline Outcome<> result_of(int result) {
  if (result != 0) return failure(errno);
  return {};
}

// A descriptor that is open as long as anybody uses it.
using SharedFd = std::shared_ptr<const UniqueFd>;

// A shared folder, open.
struct Root {
  std::string name;  // In the guest's mount; empty where the mount is the folder.
  SharedDirectory options;
  SharedFd folder;  // O_PATH
};

// Tells a file from all others of the host, and from one that takes its inode later. That may be in the same
// tick of the file system's clock.
struct Identity {
  const Root* root = nullptr;
  mode_t type = 0;  // S_IFMT
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t born_seconds = 0;
  uint32_t born_nanoseconds = 0;

  bool operator==(const Identity&) const = default;
};

struct OpenFile;

// A guest may know millions of them, the host lets a process have few descriptors: so an inode needs none. It
// says by what name in which folder it was seen last, and is found there again, if it is still the same.
struct Inode {
  Inode(uint64_t number, const Identity& who, std::shared_ptr<const Root> of)
      : node(number), identity(who), root(std::move(of)) {}
  // Folders in folders without end: one after another, so that the stack does not grow.
  ~Inode() {
    for (auto next = std::move(parent); next && next.use_count() == 1;) next = std::move(next->parent);
  }
  Inode(const Inode&) = delete;
  Inode& operator=(const Inode&) = delete;

  const uint64_t node;
  const Identity identity;
  const std::shared_ptr<const Root> root;  // Null: the folder of the folders' names.

  bool is_file() const { return S_ISREG(identity.type); }
  bool is_directory() const { return S_ISDIR(identity.type); }
  bool is_root() const { return is_pinned; }

  // A file as the guest opened it last, for InodeTable::is_unchanged().
  struct Version {
    int64_t changed_seconds = 0;
    uint32_t changed_nanoseconds = 0;
    uint64_t size = 0;
    bool operator==(const Version&) const = default;
  };

  // InodeTable's lock guards the rest.
  std::optional<Version> version;
  bool is_pinned = false;         // path stays.
  bool is_contested = false;      // A folder: something in it was not what the guest believed it to be.
  bool was_used = false;          // Since the table last looked for paths to close.
  uint64_t lookups = 0;           // How often the guest was told of it and has not forgotten it.
  std::shared_ptr<Inode> parent;  // Null: it has no name that is known.
  std::string name;
  SharedFd path;  // O_PATH; may be null.
  std::vector<std::weak_ptr<OpenFile>> opened;
};

// What a guest opened.
struct OpenFile {
  UniqueFd descriptor;  // None, of the folder of the folders' names.
  std::shared_ptr<Inode> inode;

  // Of a folder: what the host said of it and the guest has not asked for yet.
  std::mutex reading;
  std::vector<char> entries;
  size_t position = 0;
  uint64_t offset = 0;  // Where the guest has to go on reading for them to be of use.
};

}  // namespace alcove::share
