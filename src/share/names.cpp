// What changes folders: making, linking, renaming and removing.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "share/server.h"

namespace alcove::share {

namespace {

constexpr uint32_t kSetIds = S_ISUID | S_ISGID;

// A mode as the host's file gets it.
mode_t host_mode(const Inode& folder, mode_t mode, bool is_directory) {
  const auto& ownership = folder.root->options.ownership;
  if (std::holds_alternative<SquashedOwnership>(ownership) && !is_directory) mode &= ~kSetIds;
  // This process must be able to read and write it; the guest's mode is beside it.
  if (std::holds_alternative<VirtualOwnership>(ownership))
    mode = (mode & (S_IFMT | 0777)) | (is_directory ? 0700 : 0600);
  return mode;
}

}  // namespace

WithMask::WithMask(const Inode& folder, const Caller& caller)
    // With virtual ownership this process must be able to read and write it.
    : mask_(caller.mask &
            (std::holds_alternative<VirtualOwnership>(folder.root->options.ownership) ? 077 : 0777)) {
  if (mask_ != 0) ::umask(mask_);
}

WithMask::~WithMask() {
  if (mask_ != 0) ::umask(0);
}

Outcome<Owner> Server::host_owner(const Inode& folder, const Caller& caller) {
  const auto* map = std::get_if<MappedOwnership>(&folder.root->options.ownership);
  if (!map) return Owner{};
  const auto owner = on_host(*map, caller.owner);
  if (!owner) return failure(EOVERFLOW);
  if (::geteuid() != 0 && owner->user != ::geteuid()) return failure(EPERM);
  return *owner;
}

// `path` is what was made.
Outcome<> Server::give(const Folder& folder, int path, mode_t mode, uint32_t device, const Caller& caller) {
  const auto& ownership = folder.inode->root->options.ownership;
  if (std::holds_alternative<SquashedOwnership>(ownership)) return {};
  const auto above = status_at(folder.fd(), "");
  if (!above) return failure(above.error());
  if (std::holds_alternative<MappedOwnership>(ownership)) {
    const auto owner = host_owner(*folder.inode, caller);
    if (!owner) return failure(owner.error());
    // A folder with set-group-id gives its group to what is made in it; the host has done that.
    const gid_t group = above->stx_mode & S_ISGID ? static_cast<gid_t>(-1) : owner->group;
    if (::fchownat(path, "", owner->user, group, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0)
      return failure(errno);
    if ((mode & kSetIds) == 0 || !S_ISREG(mode)) return {};
    const auto made = status_at(path, "");  // That has cleared them.
    if (!made) return failure(made.error());
    return result_of(::chmod(proc_path(path).c_str(), (made->stx_mode & 07777) | (mode & kSetIds)));
  }
  if (S_ISLNK(mode)) return {};  // Has no extended attributes.
  const std::string above_path = proc_path(folder.fd()), made_path = proc_path(path);
  const Seen parent = seen(ownership, *above, above_path.c_str());
  const auto inherited = inherit_access_lists(above_path, made_path, mode, caller.mask);
  if (!inherited) return failure(inherited.error());
  Override given{.owner = caller.owner, .mode = *inherited, .device = device};
  if (parent.mode & S_ISGID) {
    given.owner.group = parent.owner.group;
    if (S_ISDIR(mode)) given.mode |= S_ISGID;
  }
  const std::string text = format_override(given);
  return result_of(::setxattr(made_path.c_str(), kOverrideAttribute, text.data(), text.size(), 0));
}

Outcome<fuse::EntryOut> Server::introduce(const Folder& folder, const std::string& name, mode_t mode,
                                          uint32_t device, const Caller& caller) {
  auto status = status_at(folder.fd(), name.c_str());
  if (!status) return failure(status.error());
  const auto entered = inodes_.enter(*status, folder.inode, name);
  if (!entered) {
    ::unlinkat(folder.fd(), name.c_str(), S_ISDIR(mode) ? AT_REMOVEDIR : 0);
    return failure(entered.error());
  }
  const Node& made = *entered;
  if (!std::holds_alternative<SquashedOwnership>(folder.inode->root->options.ownership)) {
    const auto path = inodes_.path(made);
    Outcome<> given = path ? give(folder, (*path)->get(), mode, device, caller) : failure(path.error());
    if (!given) {
      ::unlinkat(folder.fd(), name.c_str(), S_ISDIR(mode) ? AT_REMOVEDIR : 0);
      forget(made->node, 1);
      return failure(given.error());
    }
    status = status_at((*path)->get(), "");
    if (!status) {
      forget(made->node, 1);
      return failure(status.error());
    }
  }
  return entry(made, *status, folder.inode.get());
}

Outcome<std::string> Server::read_link(uint64_t node) {
  const auto known = inode(node);
  if (!known) return failure(known.error());
  if (!S_ISLNK((*known)->identity.type)) return failure(EINVAL);
  const auto path = inodes_.path(*known);
  if (!path) return failure(path.error());
  std::string target(PATH_MAX, '\0');
  const ssize_t size = ::readlinkat((*path)->get(), "", target.data(), target.size());
  if (size < 0) return failure(errno);
  target.resize(static_cast<size_t>(size));
  return target;
}

Outcome<fuse::EntryOut> Server::make_directory(uint64_t parent, std::string_view name, uint32_t mode,
                                               const Caller& caller) {
  const auto in = folder(parent, name, true);
  if (!in) return failure(in.error());
  if (const auto owner = host_owner(*in->inode, caller); !owner) return failure(owner.error());
  const std::string text(name);
  mode = (mode & 07777) | S_IFDIR;
  const WithMask mask(*in->inode, caller);
  if (::mkdirat(in->fd(), text.c_str(), host_mode(*in->inode, mode, true) & 07777) != 0)
    return failure(errno);
  return introduce(*in, text, mode, 0, caller);
}

Outcome<fuse::EntryOut> Server::make_node(uint64_t parent, std::string_view name,
                                          const fuse::MakeNodeIn& node, const Caller& caller) {
  const auto in = folder(parent, name, true);
  if (!in) return failure(in.error());
  const mode_t type = node.mode & S_IFMT ? node.mode & S_IFMT : S_IFREG;
  const mode_t mode = (node.mode & 07777) | type;
  // Where ownership is virtual, so is everything that is no file: nothing on the host but one beside which it
  // says what it stands for.
  const bool is_virtual = std::holds_alternative<VirtualOwnership>(in->inode->root->options.ownership);
  switch (type) {
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
      break;
    case S_IFCHR:
    case S_IFBLK:
      if (is_virtual) break;
      return failure(EPERM);  // A device of the host's is no business of a guest's.
    default:
      return failure(EINVAL);
  }
  if (const auto owner = host_owner(*in->inode, caller); !owner) return failure(owner.error());
  const std::string text(name);
  const mode_t made = is_virtual ? S_IFREG : type;
  const WithMask mask(*in->inode, caller);
  if (::mknodat(in->fd(), text.c_str(), made | (host_mode(*in->inode, mode, false) & 07777), 0) != 0)
    return failure(errno);
  return introduce(*in, text, mode, S_ISCHR(type) || S_ISBLK(type) ? node.device : 0, caller);
}

Outcome<fuse::EntryOut> Server::make_symbolic_link(uint64_t parent, std::string_view name,
                                                   std::string_view target, const Caller& caller) {
  const auto in = folder(parent, name, true);
  if (!in) return failure(in.error());
  if (const auto owner = host_owner(*in->inode, caller); !owner) return failure(owner.error());
  const std::string text(name);
  if (::symlinkat(std::string(target).c_str(), in->fd(), text.c_str()) != 0) return failure(errno);
  return introduce(*in, text, S_IFLNK | 0777, 0, caller);
}

Outcome<fuse::EntryOut> Server::link(uint64_t node, uint64_t parent, std::string_view name) {
  const auto known = inode(node);
  if (!known) return failure(known.error());
  const auto in = folder(parent, name, true);
  if (!in) return failure(in.error());
  if ((*known)->root != in->inode->root) return failure(EXDEV);
  if ((*known)->is_directory()) return failure(EPERM);
  const auto path = inodes_.path(*known);
  if (!path) return failure(path.error());
  const std::string text(name);
  if (::linkat(proc_fds_.get(), std::to_string((*path)->get()).c_str(), in->fd(), text.c_str(),
               AT_SYMLINK_FOLLOW) != 0) {
    return failure(errno);
  }
  const auto status = status_at(in->fd(), text.c_str());
  if (!status) return failure(status.error());
  const auto linked = inodes_.enter(*status, in->inode, name);
  if (!linked) return failure(linked.error());
  return entry(*linked, *status, in->inode.get());
}

Outcome<> Server::unlink(uint64_t parent, std::string_view name, bool is_directory) {
  const auto in = folder(parent, name, true);
  if (!in) return failure(in.error());
  if (::unlinkat(in->fd(), std::string(name).c_str(), is_directory ? AT_REMOVEDIR : 0) != 0)
    return failure(errno);
  return {};
}

Outcome<> Server::rename(uint64_t parent, std::string_view name, uint64_t new_parent,
                         std::string_view new_name, uint32_t flags) {
  const auto from = folder(parent, name, true);
  if (!from) return failure(from.error());
  const auto to = folder(new_parent, new_name, true);
  if (!to) return failure(to.error());
  if (from->inode->root != to->inode->root) return failure(EXDEV);
  constexpr uint32_t kExchange = 2;
  if (flags & ~(1 | kExchange)) return failure(EINVAL);  // A whiteout would be a device.
  const std::string old_text(name), new_text(new_name);
  if (::syscall(SYS_renameat2, from->fd(), old_text.c_str(), to->fd(), new_text.c_str(), flags) != 0)
    return failure(errno);
  if (const auto status = status_at(to->fd(), new_text.c_str())) inodes_.moved(*status, to->inode, new_name);
  if (flags & kExchange) {
    if (const auto status = status_at(from->fd(), old_text.c_str()))
      inodes_.moved(*status, from->inode, name);
  }
  return {};
}

}  // namespace alcove::share
