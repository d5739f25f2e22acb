#include "share/inode_table.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

namespace alcove::share {

namespace {

constexpr size_t kDeepest = 4096;  // Folders in folders.
constexpr unsigned kWanted = STATX_BASIC_STATS | STATX_BTIME;

Identity identity_of(const Status& status, const Root* root) {
  return {.root = root,
          .type = static_cast<mode_t>(status.stx_mode & S_IFMT),
          .device = device_of(status),
          .inode = status.stx_ino,
          .born_seconds = status.stx_btime.tv_sec,
          .born_nanoseconds = status.stx_btime.tv_nsec};
}

}  // namespace

bool is_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == name.npos &&
         name.find('\0') == name.npos;
}

uint64_t device_of(const Status& status) {
  return uint64_t{status.stx_dev_major} << 32 | status.stx_dev_minor;
}

Outcome<Status> status_at(int folder, const char* name) {
  Status status;
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name == 0 ? AT_EMPTY_PATH : 0);
  if (::statx(folder, name, flags, kWanted, &status) != 0) return failure(errno);
  return status;
}

Outcome<SharedFd> InodeTable::open_path(int folder, const std::string& name) {
  const open_how how{.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
                     .mode = 0,
                     .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS};
  while (true) {
    const long result = ::syscall(SYS_openat2, folder, name.c_str(), &how, sizeof how);
    if (result >= 0) return std::make_shared<const UniqueFd>(static_cast<int>(result));
    // EAGAIN: somebody renamed something just now (openat2(2)).
    if (errno != EINTR && errno != EAGAIN) return failure(errno);
  }
}

std::shared_ptr<Inode> InodeTable::find(uint64_t node) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(node);
  return found == nodes_.end() ? nullptr : found->second;
}

// What is under way goes on with inodes of before, and finds no names any more.
void InodeTable::reset(std::shared_ptr<Inode> root) {
  decltype(nodes_) nodes;
  std::vector<std::shared_ptr<Inode>> parents;  // Ends, as do the descriptors, without the lock.
  const std::lock_guard lock(mutex_);
  nodes.swap(nodes_);
  for (const auto& [node, inode] : nodes)
    if (inode->parent) parents.push_back(std::move(inode->parent));
  identities_.clear();
  with_path_.clear();
  nodes_.emplace(root->node, root);
  if (root->root) identities_.emplace(root->identity, root);
}

std::shared_ptr<Inode> InodeTable::make_root(uint64_t node, const std::shared_ptr<const Root>& root) {
  const auto status = status_at(root->folder->get(), "");
  if (!status) return nullptr;
  auto inode = std::make_shared<Inode>(node, identity_of(*status, root.get()), root);
  inode->path = root->folder;
  inode->is_pinned = true;
  return inode;
}

bool InodeTable::knows_locked(const Inode& inode) const {
  const auto found = nodes_.find(inode.node);
  return found != nodes_.end() && found->second.get() == &inode;
}

bool InodeTable::knows(const Inode& inode) {
  const std::lock_guard lock(mutex_);
  return knows_locked(inode);
}

Outcome<std::shared_ptr<Inode>> InodeTable::enter_locked(const Status& status,
                                                         const std::shared_ptr<const Root>& root,
                                                         const Inode& within) {
  if (!knows_locked(within)) return failure(ESTALE);
  const Identity identity = identity_of(status, root.get());
  auto found = identities_.find(identity);
  if (found == identities_.end()) {
    if (nodes_.size() >= most_inodes_) return failure(ENFILE);
    const auto made = std::make_shared<Inode>(next_node_++, identity, root);
    nodes_.emplace(made->node, made);
    found = identities_.emplace(identity, made).first;
  }
  ++found->second->lookups;
  return found->second;
}

// No folder leads to itself, though a mount may show it so, or the host have turned folders inside out. Of
// two ways the older stays, then, until one of them is found again.
void InodeTable::name_it(Inode& inode, const std::shared_ptr<Inode>& folder, std::string_view name) {
  if (inode.is_pinned) return;
  if (inode.is_directory())
    for (const Inode* above = folder.get(); above; above = above->parent.get())
      if (above == &inode) return;
  inode.parent = folder;
  inode.name = name;
}

Outcome<std::shared_ptr<Inode>> InodeTable::enter(const Status& status, const std::shared_ptr<Inode>& folder,
                                                  std::string_view name, const SharedFd& path) {
  const std::lock_guard lock(mutex_);
  auto inode = enter_locked(status, folder->root, *folder);
  if (!inode) return inode;
  if (!name.empty()) name_it(**inode, folder, name);
  if (path) keep(*inode, path);
  return inode;
}

Outcome<std::shared_ptr<Inode>> InodeTable::enter_root(const std::shared_ptr<const Root>& root,
                                                       const std::shared_ptr<Inode>& names,
                                                       const Status& status) {
  const std::lock_guard lock(mutex_);
  auto inode = enter_locked(status, root, *names);
  if (!inode) return inode;
  (*inode)->path = root->folder;
  (*inode)->is_pinned = true;
  return inode;
}

void InodeTable::forget(uint64_t node, uint64_t count) {
  std::shared_ptr<Inode> inode;  // Closes its descriptors without the lock.
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(node);
  if (found == nodes_.end() || node == 1) return;
  inode = found->second;
  inode->lookups -= std::min(inode->lookups, count);
  if (inode->lookups > 0) return;
  nodes_.erase(found);
  identities_.erase(inode->identity);
}

void InodeTable::moved(const Status& status, const std::shared_ptr<Inode>& parent, std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto found = identities_.find(identity_of(status, parent->root.get()));
  if (found != identities_.end() && knows_locked(*parent)) name_it(*found->second, parent, name);
}

SharedFd InodeTable::held(Inode& inode) {
  if (inode.path) {
    inode.was_used = true;
    return inode.path;
  }
  for (const auto& weak : inode.opened) {
    if (auto file = weak.lock()) return {file, &file->descriptor};
  }
  return nullptr;
}

// Closes the paths longest not used, about.
void InodeTable::keep(const std::shared_ptr<Inode>& inode, const SharedFd& path) {
  if (inode->path) return;
  inode->path = path;
  with_path_.push_back(inode);
  size_t chances = with_path_.size();
  while (with_path_.size() > most_paths_) {
    const auto oldest = with_path_.front().lock();
    with_path_.pop_front();
    if (!oldest) continue;
    if (std::exchange(oldest->was_used, false) && chances > 0) {
      --chances;
      with_path_.push_back(oldest);
    } else {
      oldest->path = nullptr;
    }
  }
}

std::unexpected<int> InodeTable::not_found(const Inode& inode, int error) {
  if (error != ENOENT && error != ENOTDIR && error != ELOOP && error != ESTALE) return failure(error);
  const std::lock_guard lock(mutex_);
  if (inode.parent) inode.parent->is_contested = true;
  return failure(ESTALE);
}

SharedFd InodeTable::path_to_find(const Inode& folder, int descriptor, const std::string& name) {
  {
    const std::lock_guard lock(mutex_);
    if (!folder.is_contested) return nullptr;
  }
  auto opened = open_path(descriptor, name);
  return opened ? *std::move(opened) : nullptr;
}

Outcome<SharedFd> InodeTable::path(const std::shared_ptr<Inode>& inode) {
  struct Step {
    std::shared_ptr<Inode> inode;
    std::string name;
  };
  std::vector<Step> steps;
  SharedFd at;
  {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Inode> next = inode;
    while (!(at = held(*next))) {
      if (!next->parent) return failure(ESTALE);
      if (steps.size() == kDeepest) return failure(ELOOP);
      steps.push_back({next, next->name});
      next = next->parent;
    }
  }
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    auto opened = open_path(at->get(), step->name);
    if (!opened) return not_found(*step->inode, opened.error());
    const auto status = status_at((*opened)->get(), "");
    if (!status) return failure(status.error());
    if (identity_of(*status, inode->root.get()) != step->inode->identity)
      return not_found(*step->inode, ESTALE);
    at = *std::move(opened);
    const std::lock_guard lock(mutex_);
    keep(step->inode, at);
  }
  return at;
}

Outcome<SharedFd> InodeTable::path_to_open(const std::shared_ptr<Inode>& inode) {
  std::shared_ptr<Inode> folder;
  std::string name;
  {
    const std::lock_guard lock(mutex_);
    // Where things are replaced all the time, it is the one that the guest has looked up.
    if (held(*inode) && inode->parent && !inode->parent->is_contested) {
      folder = inode->parent;
      name = inode->name;
    }
  }
  if (folder) {
    const auto above = path(folder);
    if (!above) return failure(above.error());
    const auto status = status_at((*above)->get(), name.c_str());
    // One that is deleted is there until the guest has forgotten it.
    if (status && identity_of(*status, inode->root.get()) != inode->identity)
      return not_found(*inode, ESTALE);
  }
  return path(inode);
}

Outcome<Status> InodeTable::status(const std::shared_ptr<Inode>& inode) {
  SharedFd at;
  std::shared_ptr<Inode> parent;
  std::string name;
  {
    const std::lock_guard lock(mutex_);
    at = held(*inode);
    parent = inode->parent;
    name = inode->name;
  }
  if (at) return status_at(at->get(), "");
  if (!parent) return failure(ESTALE);
  const auto folder = path(parent);
  if (!folder) return failure(folder.error());
  auto status = status_at((*folder)->get(), name.c_str());
  if (!status) return not_found(*inode, status.error());
  if (identity_of(*status, inode->root.get()) != inode->identity) return not_found(*inode, ESTALE);
  return status;
}

bool InodeTable::is_unchanged(Inode& inode, const Status& status) {
  const Inode::Version now{.changed_seconds = status.stx_ctime.tv_sec,
                           .changed_nanoseconds = status.stx_ctime.tv_nsec,
                           .size = status.stx_size};
  const bool is_settled = now.changed_seconds + 2 <= ::time(nullptr);
  const std::lock_guard lock(mutex_);
  const bool is_same = inode.version == now;
  inode.version = is_settled ? std::optional(now) : std::nullopt;
  return is_same;
}

void InodeTable::add_open_file(const std::shared_ptr<OpenFile>& file) {
  const std::lock_guard lock(mutex_);
  auto& opened = file->inode->opened;
  std::erase_if(opened, [](const auto& weak) { return weak.expired(); });
  opened.push_back(file);
}

size_t InodeTable::size() {
  const std::lock_guard lock(mutex_);
  return nodes_.size();
}

size_t InodeTable::open_paths() {
  const std::lock_guard lock(mutex_);
  return with_path_.size();
}

}  // namespace alcove::share
