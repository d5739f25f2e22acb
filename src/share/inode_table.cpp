#include "share/inode_table.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

namespace alcove::share {

namespace {

constexpr size_t kDeepest = 4096;  // Folders in folders.
constexpr unsigned kWanted = STATX_BASIC_STATS | STATX_BTIME;

Identity identity_of(const Status& status, const Root* root) {
  return {.root = root,
          .device = uint64_t{status.stx_dev_major} << 32 | status.stx_dev_minor,
          .inode = status.stx_ino,
          .born_seconds = status.stx_btime.tv_sec,
          .born_nanoseconds = status.stx_btime.tv_nsec};
}

Outcome<SharedFd> open_path(int folder, const std::string& name) {
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

}  // namespace

bool is_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == name.npos &&
         name.find('\0') == name.npos;
}

Outcome<Status> status_at(int folder, const char* name) {
  Status status;
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name == 0 ? AT_EMPTY_PATH : 0);
  if (::statx(folder, name, flags, kWanted, &status) != 0) return failure(errno);
  return status;
}

std::shared_ptr<Inode> InodeTable::find(uint64_t node) {
  const std::lock_guard lock(mutex_);
  const auto found = nodes_.find(node);
  return found == nodes_.end() ? nullptr : found->second;
}

void InodeTable::reset(std::shared_ptr<Inode> root) {
  const std::lock_guard lock(mutex_);
  nodes_.clear();
  identities_.clear();
  with_path_.clear();
  nodes_.emplace(root->node, root);
  if (root->root) identities_.emplace(root->identity, root);
}

std::shared_ptr<Inode> InodeTable::make_root(uint64_t node, const std::shared_ptr<const Root>& root) {
  const auto status = status_at(root->folder->get(), "");
  if (!status) return nullptr;
  auto inode =
      std::make_shared<Inode>(node, identity_of(*status, root.get()), status->stx_mode & S_IFMT, root);
  inode->path = root->folder;
  inode->is_pinned = true;
  return inode;
}

std::shared_ptr<Inode> InodeTable::enter_root(const std::shared_ptr<const Root>& root, const Status& status) {
  auto inode = enter(status, nullptr, "", root);
  const std::lock_guard lock(mutex_);
  inode->path = root->folder;
  inode->is_pinned = true;
  return inode;
}

std::shared_ptr<Inode> InodeTable::enter(const Status& status, const std::shared_ptr<Inode>& parent,
                                         std::string_view name, const std::shared_ptr<const Root>& root,
                                         const SharedFd& path) {
  const Identity identity = identity_of(status, root.get());
  const std::lock_guard lock(mutex_);
  auto& inode = identities_[identity];
  if (!inode) {
    inode = std::make_shared<Inode>(next_node_++, identity, status.stx_mode & S_IFMT, root);
    nodes_.emplace(inode->node, inode);
  }
  ++inode->lookups;
  if (parent && !inode->is_pinned) {
    inode->parent = parent;
    inode->name = name;
  }
  if (path) keep(inode, path);
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
  if (found == identities_.end() || found->second->is_pinned) return;
  found->second->parent = parent;
  found->second->name = name;
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
