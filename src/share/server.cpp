#include "share/server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/statfs.h>

#include <algorithm>
#include <cerrno>
#include <limits>

namespace alcove::share {

namespace {

constexpr size_t kLongestName = 255;
// In bytes: a mapping takes 2 MiB of a window for a while, which small files would soon fill.
constexpr uint64_t kSmallestToMap = 64 << 10;

fuse::Attributes attributes_of(const Status& status, const Seen& seen) {
  const auto seconds = [](const statx_timestamp& time) { return static_cast<uint64_t>(time.tv_sec); };
  return {.inode = status.stx_ino,
          .size = status.stx_size,
          .blocks = status.stx_blocks,
          .access_time = seconds(status.stx_atime),
          .modification_time = seconds(status.stx_mtime),
          .change_time = seconds(status.stx_ctime),
          .access_nanoseconds = status.stx_atime.tv_nsec,
          .modification_nanoseconds = status.stx_mtime.tv_nsec,
          .change_nanoseconds = status.stx_ctime.tv_nsec,
          .mode = seen.mode,
          .link_count = status.stx_nlink,
          .user = seen.owner.user,
          .group = seen.owner.group,
          .device = seen.device,
          .block_size = status.stx_blksize,
          .flags = 0};
}

// How long the guest may believe what it was told, in seconds.
uint64_t validity(const Inode& inode) {
  if (!inode.root) return 1;
  switch (inode.root->options.caching_mode) {
    case SharedDirectoryCachingMode::none:
      return 0;
    case SharedDirectoryCachingMode::automatic:
      return 1;
    case SharedDirectoryCachingMode::always:
      return 24 * 60 * 60;
  }
  return 0;
}

bool all_of(const Share& share, auto condition) {
  return !share.folders.empty() && std::ranges::all_of(share.folders, condition);
}

}  // namespace

std::shared_ptr<const Root> make_root(std::string name, SharedDirectory options, UniqueFd folder) {
  return std::make_shared<const Root>(Root{.name = std::move(name),
                                           .options = std::move(options),
                                           .folder = std::make_shared<const UniqueFd>(std::move(folder))});
}

bool may_be_shared(int folder) {
  struct statfs kind{};
  return ::fstatfs(folder, &kind) == 0 && kind.f_type != PROC_SUPER_MAGIC;
}

Result<std::unique_ptr<Server>> Server::create(Share share, const ServerLimits& limits) {
  std::unique_ptr<Server> server(new Server(limits));
  server->proc_fds_ = UniqueFd(::open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!server->proc_fds_) {
    return fail(ErrorCode::not_supported, "share", "this process has no /proc/self/fd", "mount /proc");
  }
  server->replace(std::move(share));
  return server;
}

Server::~Server() = default;

void Server::replace(Share share) {
  {
    const std::lock_guard lock(mutex_);
    share_ = std::move(share);
  }
  forget_all();
}

Ways Server::wanted_ways() const {
  const std::lock_guard lock(mutex_);
  return {.writeback_cache = all_of(share_,
                                    [](const auto& root) {
                                      return root->options.caching_mode == SharedDirectoryCachingMode::always;
                                    }),
          .shared_locks = all_of(share_, [](const auto& root) { return root->options.shared_locks; }),
          // The others have none, then.
          .access_lists = std::ranges::any_of(share_.folders, [](const auto& root) {
            return !std::holds_alternative<SquashedOwnership>(root->options.ownership);
          })};
}

void Server::reset(const Ways& ways) {
  writeback_cache_ = ways.writeback_cache;
  shared_locks_ = ways.shared_locks;
  access_lists_ = ways.access_lists;
  tells_what_to_map_ = ways.told_what_to_map;
  forget_all();
}

// Files last, and none is added whose inode is not known: of what is under way nothing stays open.
void Server::forget_all() {
  std::shared_ptr<const Root> only;
  {
    const std::lock_guard lock(mutex_);
    if (share_.is_single && !share_.folders.empty()) only = share_.folders.front();
  }
  Node root = only ? InodeTable::make_root(fuse::kRootNode, only) : nullptr;
  if (!root) root = std::make_shared<Inode>(fuse::kRootNode, Identity{.type = S_IFDIR}, nullptr);
  root->lookups = 1;
  inodes_.reset(std::move(root));
  decltype(files_) closed;
  decltype(lock_files_) unlocked;
  const std::lock_guard lock(mutex_);
  closed.swap(files_);
  unlocked.swap(lock_files_);
}

std::string Server::proc_path(int fd) {
  return fmt::format("/proc/self/fd/{}", fd);
}

Outcome<Server::Node> Server::inode(uint64_t node) {
  auto found = inodes_.find(node);
  if (!found) return failure(ESTALE);
  return found;
}

Outcome<Server::File> Server::file(uint64_t handle) {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(handle);
  if (found == files_.end()) return failure(EBADF);
  return found->second;
}

Outcome<uint64_t> Server::add_file(const File& file) {
  inodes_.add_open_file(file);
  const std::lock_guard lock(mutex_);
  if (!inodes_.knows(*file->inode)) return failure(ESTALE);
  if (files_.size() >= limits_.open_files) return failure(ENFILE);
  files_.emplace(next_handle_, file);
  return next_handle_++;
}

size_t Server::open_files() {
  const std::lock_guard lock(mutex_);
  return files_.size();
}

Outcome<Server::Folder> Server::folder(uint64_t node, std::string_view name, bool to_change) {
  auto found = inode(node);
  if (!found) return failure(found.error());
  if (!(*found)->is_directory()) return failure(ENOTDIR);
  if (!is_name(name)) return failure(EINVAL);
  if (name.size() > kLongestName) return failure(ENAMETOOLONG);
  if (!(*found)->root) return failure(EROFS);  // The names of the folders.
  if (to_change && (*found)->root->options.read_only) return failure(EROFS);
  auto path = inodes_.path(*found);
  if (!path) return failure(path.error());
  // Each thread of a process may have a umask of its own; see WithMask.
  static thread_local const bool is_mask_clear = [] {
    ::unshare(CLONE_FS);
    ::umask(0);
    return true;
  }();
  (void)is_mask_clear;
  return Folder{*std::move(found), *std::move(path)};
}

// What is in the names' folder is a mount to the guest, so that inode numbers of two file systems can't be
// confused.
fuse::EntryOut Server::entry(const Node& inode, const Status& status, const Inode* parent) {
  fuse::EntryOut entry{.node = inode->node,
                       .generation = 0,
                       .entry_valid = validity(*inode),
                       .attributes_valid = validity(*inode),
                       .entry_valid_nanoseconds = 0,
                       .attributes_valid_nanoseconds = 0,
                       .attributes = describe(inode, status)};
  if (parent && inode->is_directory() &&
      (inode->is_root() || parent->identity.device != inode->identity.device)) {
    entry.attributes.flags |= fuse::kAttributesSubmount;
  }
  return entry;
}

fuse::AttributesOut Server::with_validity(const Inode& inode, const fuse::Attributes& attributes) const {
  return {.valid = validity(inode), .valid_nanoseconds = 0, .padding = 0, .attributes = attributes};
}

fuse::Attributes Server::describe(const Node& inode, const Status& status) {
  const SharedDirectoryOwnership& ownership = inode->root->options.ownership;
  std::string path;
  if (std::holds_alternative<VirtualOwnership>(ownership)) {
    const auto opened = inodes_.path(inode);
    if (opened) path = proc_path((*opened)->get());
  }
  auto attributes = attributes_of(status, seen(ownership, status, path.empty() ? nullptr : path.c_str()));
  if (tells_what_to_map_ && S_ISREG(status.stx_mode) && status.stx_size >= kSmallestToMap)
    attributes.flags |= fuse::kAttributesDax;
  return attributes;
}

fuse::Attributes Server::describe_names() const {
  const std::lock_guard lock(mutex_);
  fuse::Attributes attributes{};
  attributes.inode = fuse::kRootNode;
  attributes.mode = S_IFDIR | 0555;
  attributes.link_count = static_cast<uint32_t>(2 + share_.folders.size());
  attributes.block_size = 4096;
  return attributes;
}

Outcome<fuse::EntryOut> Server::look_up_share(const Node& names, std::string_view name) {
  std::shared_ptr<const Root> root;
  {
    const std::lock_guard lock(mutex_);
    const auto found =
        std::ranges::find_if(share_.folders, [&](const auto& each) { return each->name == name; });
    if (found == share_.folders.end()) return failure(ENOENT);
    root = *found;
  }
  const auto status = status_at(root->folder->get(), "");
  if (!status) return failure(status.error());
  const auto inode = inodes_.enter_root(root, names, *status);
  if (!inode) return failure(inode.error());
  return entry(*inode, *status, names.get());
}

Outcome<fuse::EntryOut> Server::look_up(uint64_t parent, std::string_view name) {
  const auto above = inode(parent);
  if (!above) return failure(above.error());
  if (!(*above)->root && is_name(name)) return look_up_share(*above, name);
  const auto in = folder(parent, name, false);
  if (!in) return failure(in.error());
  const std::string text(name);
  SharedFd path = inodes_.path_to_find(*in->inode, in->fd(), text);
  auto status = path ? status_at(path->get(), "") : status_at(in->fd(), text.c_str());
  if (!status) return failure(status.error());
  if (device_of(*status) != in->inode->identity.device) {
    // Another file system is mounted here. Before the guest is told of it: others may guess its number.
    if (!path) {
      auto opened = InodeTable::open_path(in->fd(), text);
      if (!opened) return failure(opened.error());
      path = *std::move(opened);
    }
    if (!may_be_shared(path->get())) return failure(EACCES);
    status = status_at(path->get(), "");
    if (!status) return failure(status.error());
  }
  const auto found = inodes_.enter(*status, in->inode, name, path);
  if (!found) return failure(found.error());
  return entry(*found, *status, in->inode.get());
}

}  // namespace alcove::share
