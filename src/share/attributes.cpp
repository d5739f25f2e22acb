// Attributes, extended attributes, and what a file system says of itself.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "share/server.h"

namespace alcove::share {

namespace {

constexpr uint32_t kSetIds = S_ISUID | S_ISGID;

// Root of the host can give files away, and its writes leave set-id bits alone.
bool is_privileged() {
  static const bool is_root = ::geteuid() == 0;
  return is_root;
}

Outcome<> result_of(int result) {
  if (result != 0) return failure(errno);
  return {};
}

// Attributes that are files' own, and mean nothing to this host.
bool is_guests(const std::string& name) {
  return name.starts_with("user.") && name != kOverrideAttribute;
}

}  // namespace

// As the kernel does at a write without CAP_FSETID: set-user-id always, set-group-id where the group may
// execute.
Outcome<> drop_set_ids(int fd) {
  if (!is_privileged()) return {};  // The host has done it.
  struct stat status{};
  if (::fstat(fd, &status) != 0) return failure(errno);
  mode_t mode = status.st_mode & 07777;
  const mode_t dropped = S_ISUID | (mode & S_IXGRP ? S_ISGID : 0);
  if (!S_ISREG(status.st_mode) || (mode & dropped) == 0) return {};
  return result_of(::chmod(fmt::format("/proc/self/fd/{}", fd).c_str(), mode & ~dropped));
}

Outcome<fuse::AttributesOut> Server::attributes(uint64_t node, std::optional<uint64_t> handle) {
  auto known = inode(node);
  if (!known) return failure(known.error());
  if (!(*known)->root) return with_validity(**known, describe_names());
  Outcome<Status> status;
  const auto opened = handle ? file(*handle) : failure(EBADF);
  if (opened && (*opened)->inode == *known && (*opened)->descriptor) {
    status = status_at((*opened)->descriptor.get(), "");
  } else {
    status = inodes_.status(*known);
  }
  if (!status) return failure(status.error());
  return with_validity(**known, describe(*known, *status));
}

Outcome<> Server::set_owner(const Inode& inode, int path, const fuse::SetAttributesIn& wanted) {
  const auto& ownership = inode.root->options.ownership;
  const auto* map = std::get_if<MappedOwnership>(&ownership);
  if (!map) return {};  // Squashed: believed to be done. Virtual: with the mode.
  const auto nobody = static_cast<uid_t>(-1);
  Owner guest{.user = map->users.empty() ? 0 : map->users.front().guest,
              .group = map->groups.empty() ? 0 : map->groups.front().guest};
  if (wanted.valid & fuse::kSetUser) guest.user = wanted.user;
  if (wanted.valid & fuse::kSetGroup) guest.group = wanted.group;
  const auto host = on_host(*map, guest);
  if (!host) return failure(EINVAL);
  return result_of(::fchownat(path, "", wanted.valid & fuse::kSetUser ? host->user : nobody,
                              wanted.valid & fuse::kSetGroup ? host->group : nobody,
                              AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
}

Outcome<> Server::set_mode(const Inode& inode, int path, const fuse::SetAttributesIn& wanted) {
  const auto& ownership = inode.root->options.ownership;
  const std::string proc = proc_path(path);
  mode_t mode = wanted.mode & 07777;
  if (std::holds_alternative<VirtualOwnership>(ownership)) {
    if (S_ISLNK(inode.type)) return {};  // Has no extended attributes.
    const auto status = status_at(path, "");
    if (!status) return failure(status.error());
    const Seen now = seen(ownership, *status, proc.c_str());
    Override next{.owner = now.owner, .mode = now.mode, .device = now.device};
    if (wanted.valid & fuse::kSetMode) next.mode = (next.mode & S_IFMT) | mode;
    if (wanted.valid & fuse::kSetUser) next.owner.user = wanted.user;
    if (wanted.valid & fuse::kSetGroup) next.owner.group = wanted.group;
    // As chown(2) does, of files.
    if (wanted.valid & fuse::kSetKillPrivileges && !inode.is_directory())
      next.mode &= ~(S_ISUID | (next.mode & S_IXGRP ? S_ISGID : 0));
    const std::string text = format_override(next);
    if (auto set = result_of(::setxattr(proc.c_str(), kOverrideAttribute, text.data(), text.size(), 0)); !set)
      return set;
    // This process must be able to go on reading and writing it.
    mode = (next.mode & 0777) | (inode.is_directory() ? 0700 : 0600);
    return result_of(::chmod(proc.c_str(), mode));
  }
  if (!(wanted.valid & fuse::kSetMode)) return {};
  if (std::holds_alternative<SquashedOwnership>(ownership) && !inode.is_directory()) mode &= ~kSetIds;
  return result_of(::chmod(proc.c_str(), mode));
}

Outcome<> Server::set_size(const Inode& inode, int path, const fuse::SetAttributesIn& wanted) {
  if (!S_ISREG(inode.type)) return failure(inode.is_directory() ? EISDIR : EINVAL);
  if (wanted.size > INT64_MAX) return failure(EFBIG);
  const auto size = static_cast<off_t>(wanted.size);
  const auto opened = wanted.valid & fuse::kSetHandle ? file(wanted.handle) : failure(EBADF);
  Outcome<> done = opened && (*opened)->inode.get() == &inode
                       ? result_of(::ftruncate((*opened)->descriptor.get(), size))
                       : result_of(::truncate(proc_path(path).c_str(), size));
  if (done && wanted.valid & fuse::kSetKillPrivileges) return drop_set_ids(path);
  return done;
}

Outcome<> Server::set_times(int path, const fuse::SetAttributesIn& wanted) {
  const auto time = [&](uint32_t set, uint32_t set_now, uint64_t seconds, uint32_t nanoseconds) {
    if (wanted.valid & set_now) return timespec{0, UTIME_NOW};
    if (wanted.valid & set)
      return timespec{static_cast<time_t>(seconds), std::min<long>(nanoseconds, 999'999'999)};
    return timespec{0, UTIME_OMIT};
  };
  const timespec times[] = {
      time(fuse::kSetAccessTime, fuse::kSetAccessTimeNow, wanted.access_time, wanted.access_nanoseconds),
      time(fuse::kSetModificationTime, fuse::kSetModificationTimeNow, wanted.modification_time,
           wanted.modification_nanoseconds)};
  return result_of(::utimensat(path, "", times, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
}

Outcome<fuse::AttributesOut> Server::set_attributes(uint64_t node, const fuse::SetAttributesIn& wanted) {
  auto known = inode(node);
  if (!known) return failure(known.error());
  if (!(*known)->root || (*known)->root->options.read_only) return failure(EROFS);
  const auto path = inodes_.path(*known);
  if (!path) return failure(path.error());
  const int fd = (*path)->get();
  constexpr uint32_t kOwner = fuse::kSetUser | fuse::kSetGroup;
  constexpr uint32_t kTimes = fuse::kSetAccessTime | fuse::kSetModificationTime | fuse::kSetAccessTimeNow |
                              fuse::kSetModificationTimeNow;
  Outcome<> done;
  // Owners first: to change them clears bits of the mode.
  if (wanted.valid & kOwner) done = set_owner(**known, fd, wanted);
  if (done && wanted.valid & (kOwner | fuse::kSetMode)) done = set_mode(**known, fd, wanted);
  if (done && wanted.valid & fuse::kSetSize) done = set_size(**known, fd, wanted);
  if (done && wanted.valid & kTimes) done = set_times(fd, wanted);
  if (!done) return failure(done.error());
  const auto status = status_at(fd, "");
  if (!status) return failure(status.error());
  return with_validity(**known, describe(*known, *status));
}

// The guest's kernel checks modes itself.
Outcome<> Server::access(uint64_t node, uint32_t mask) {
  const auto known = inode(node);
  if (!known) return failure(known.error());
  if (mask & W_OK && (!(*known)->root || (*known)->root->options.read_only)) return failure(EROFS);
  return {};
}

Outcome<fuse::FileSystemStatusOut> Server::file_system_status(uint64_t node) {
  const auto known = inode(node);
  if (!known) return failure(known.error());
  fuse::FileSystemStatusOut out{};
  out.block_size = out.fragment_size = 4096;
  out.name_length = NAME_MAX;
  if (!(*known)->root) return out;
  const auto path = inodes_.path(*known);
  if (!path) return failure(path.error());
  struct statvfs status{};
  if (::fstatvfs((*path)->get(), &status) != 0) return failure(errno);
  out.blocks = status.f_blocks;
  out.free_blocks = status.f_bfree;
  out.available_blocks = status.f_bavail;
  out.files = status.f_files;
  out.free_files = status.f_ffree;
  out.block_size = static_cast<uint32_t>(status.f_bsize);
  out.name_length = static_cast<uint32_t>(status.f_namemax);
  out.fragment_size = static_cast<uint32_t>(status.f_frsize);
  return out;
}

Outcome<> Server::set_extended_attribute(uint64_t node, const std::string& name,
                                         std::span<const std::byte> value, uint32_t flags) {
  const auto known = inode(node);
  if (!known) return failure(known.error());
  if (!(*known)->root || (*known)->root->options.read_only) return failure(EROFS);
  if (!is_guests(name)) return failure(EOPNOTSUPP);
  const auto path = inodes_.path(*known);
  if (!path) return failure(path.error());
  return result_of(::setxattr(proc_path((*path)->get()).c_str(), name.c_str(), value.data(), value.size(),
                              static_cast<int>(flags)));
}

Outcome<Server::Extended> Server::extended_attribute(uint64_t node, const std::string& name, uint32_t size) {
  const auto known = inode(node);
  if (!known) return failure(known.error());
  if (!is_guests(name)) return failure(EOPNOTSUPP);
  if (!(*known)->root) return failure(ENODATA);
  const auto path = inodes_.path(*known);
  if (!path) return failure(path.error());
  Extended result;
  result.bytes.resize(std::min<uint32_t>(size, XATTR_SIZE_MAX));
  const ssize_t got =
      ::getxattr(proc_path((*path)->get()).c_str(), name.c_str(), result.bytes.data(), result.bytes.size());
  if (got < 0) return failure(errno);
  result.size = static_cast<uint32_t>(got);
  result.bytes.resize(std::min<size_t>(result.bytes.size(), result.size));
  return result;
}

Outcome<Server::Extended> Server::extended_attributes(uint64_t node, uint32_t size) {
  const auto known = inode(node);
  if (!known) return failure(known.error());
  if (!(*known)->root) return Extended{};
  const auto path = inodes_.path(*known);
  if (!path) return failure(path.error());
  std::string all(XATTR_LIST_MAX, '\0');
  const ssize_t got = ::listxattr(proc_path((*path)->get()).c_str(), all.data(), all.size());
  if (got < 0) return failure(errno);
  Extended result;
  for (std::string_view left(all.data(), static_cast<size_t>(got)); !left.empty();) {
    const std::string name(left.substr(0, left.find('\0')));
    left.remove_prefix(std::min(left.size(), name.size() + 1));
    if (!is_guests(name)) continue;
    const auto bytes = std::as_bytes(std::span(name.c_str(), name.size() + 1));
    result.bytes.insert(result.bytes.end(), bytes.begin(), bytes.end());
  }
  result.size = static_cast<uint32_t>(result.bytes.size());
  if (size == 0) result.bytes.clear();
  if (size != 0 && result.size > size) return failure(ERANGE);
  return result;
}

Outcome<> Server::remove_extended_attribute(uint64_t node, const std::string& name) {
  const auto known = inode(node);
  if (!known) return failure(known.error());
  if (!(*known)->root || (*known)->root->options.read_only) return failure(EROFS);
  if (!is_guests(name)) return failure(EOPNOTSUPP);
  const auto path = inodes_.path(*known);
  if (!path) return failure(path.error());
  return result_of(::removexattr(proc_path((*path)->get()).c_str(), name.c_str()));
}

}  // namespace alcove::share
