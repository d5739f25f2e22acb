// All inodes that a guest knows, and the way from them to the host's files.
//
// Every way begins at a shared folder's descriptor and goes down one name at a time, each of which is checked
// to be one, without following a link; what it leads to is compared with what was there before. So nothing
// that guest or host rename, replace or link meanwhile leads out of the tree. But what the host moves out of
// the tree stays within reach of a guest that uses it: a descriptor follows it there.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>

#include "share/inode.h"

namespace alcove::share {

using Status = struct statx;

// Whether it is one component of a path, and neither "." nor "..". A name that is too long is.
bool is_name(std::string_view name);

// Of what `name` is in the folder, a link itself; of the folder's descriptor itself if `name` is empty.
Outcome<Status> status_at(int folder, const char* name);
// As Identity has it.
uint64_t device_of(const Status& status);

// Any thread.
class InodeTable {
 public:
  // How many inodes a guest may know, and how many descriptors are kept open to find them sooner.
  InodeTable(size_t most_inodes, size_t most_paths) : most_inodes_(most_inodes), most_paths_(most_paths) {}

  std::shared_ptr<Inode> find(uint64_t node);

  // Begins anew: the guest knows `root` as node 1, and nothing else. Numbers are not used again.
  void reset(std::shared_ptr<Inode> root);
  // For reset(): a shared folder, whose descriptor is always there. Null if the host can't say what it is.
  static std::shared_ptr<Inode> make_root(uint64_t node, const std::shared_ptr<const Root>& root);

  // Whether it is known still: it has not been forgotten, nor has all been, since it was found.
  bool knows(const Inode& inode);
  // The inode with that status, which was seen as `name` in `folder` (none: it is there, but has no name),
  // once more told to the guest. `path`, if any, is its descriptor. ESTALE unless the folder is known still.
  Outcome<std::shared_ptr<Inode>> enter(const Status& status, const std::shared_ptr<Inode>& folder,
                                        std::string_view name, const SharedFd& path = nullptr);
  // The same of a shared folder itself, in the folder of their names.
  Outcome<std::shared_ptr<Inode>> enter_root(const std::shared_ptr<const Root>& root,
                                             const std::shared_ptr<Inode>& names, const Status& status);
  // The guest forgets it so many times.
  void forget(uint64_t node, uint64_t count);
  // It has that name now, if it is known at all.
  void moved(const Status& status, const std::shared_ptr<Inode>& parent, std::string_view name);

  // A descriptor of the inode, O_PATH or that of an open file. ESTALE if it is not where it was.
  Outcome<SharedFd> path(const std::shared_ptr<Inode>& inode);
  // The same to open a file by. ESTALE, too, if another has taken its name: the guest is to look again, and
  // not to write what nobody will find.
  Outcome<SharedFd> path_to_open(const std::shared_ptr<Inode>& inode);
  // Of what `name` is in the folder; of a link itself.
  static Outcome<SharedFd> open_path(int folder, const std::string& name);
  // A descriptor of what `name` is in the folder, where others than the guest replace things; else, or if it
  // can't be had, null. A guest that has just looked a file up, and opens it, finds it then, even if it has
  // been replaced between. Without, it would be stale, and Linux tries again once only.
  SharedFd path_to_find(const Inode& folder, int descriptor, const std::string& name);
  // What it is like at this moment, at the cost of one call of the host where its folder is open.
  Outcome<Status> status(const std::shared_ptr<Inode>& inode);

  // Whether the file, which has that status now that it is opened, is what it was when it was opened the last
  // time. Not if it could have changed since with its times as they are.
  bool is_unchanged(Inode& inode, const Status& status);

  void add_open_file(const std::shared_ptr<OpenFile>& file);

  size_t size();
  size_t open_paths();

 private:
  struct Hash {
    size_t operator()(const Identity& identity) const {
      return std::hash<uint64_t>()(identity.inode * 0x9e3779b97f4a7c15 ^ identity.device ^
                                   reinterpret_cast<uintptr_t>(identity.root));
    }
  };
  SharedFd held(Inode& inode);
  Outcome<std::shared_ptr<Inode>> enter_locked(const Status& status, const std::shared_ptr<const Root>& root,
                                               const Inode& within);
  static void name_it(Inode& inode, const std::shared_ptr<Inode>& folder, std::string_view name);
  bool knows_locked(const Inode& inode) const;
  std::unexpected<int> not_found(const Inode& inode, int error);
  void keep(const std::shared_ptr<Inode>& inode, const SharedFd& path);

  const size_t most_inodes_;
  const size_t most_paths_;
  std::mutex mutex_;  // Guards all below, and what inodes say it does.
  std::unordered_map<uint64_t, std::shared_ptr<Inode>> nodes_;
  std::unordered_map<Identity, std::shared_ptr<Inode>, Hash> identities_;
  std::deque<std::weak_ptr<Inode>> with_path_;
  uint64_t next_node_ = 2;
};

}  // namespace alcove::share
