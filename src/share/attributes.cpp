// Attributes, and what a file system says of itself.
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

}  // namespace

// As the kernel does at a write without CAP_FSETID: set-user-id always, set-group-id where the group may
// execute.
Outcome<> Server::drop_set_ids(const Inode& inode, int fd) {
  if (!inode.root || inode.root->options.read_only) return failure(EROFS);
  const auto& ownership = inode.root->options.ownership;
  const bool is_virtual = std::holds_alternative<VirtualOwnership>(ownership);
  if (!is_virtual && !is_privileged()) return {};  // The host has done it.
  const auto status = status_at(fd, "");
  if (!status) return failure(status.error());
  const std::string path = proc_path(fd);
  const Seen now = seen(ownership, *status, path.c_str());
  const mode_t dropped = S_ISUID | (now.mode & S_IXGRP ? S_ISGID : 0);
  if (!S_ISREG(now.mode) || (now.mode & dropped) == 0) return {};
  const mode_t mode = now.mode & ~dropped;
  if (is_virtual) return set_override(inode, path, {.owner = now.owner, .mode = mode, .device = now.device});
  return result_of(::chmod(path.c_str(), mode & 07777));
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

Outcome<> Server::set_override(const Inode& inode, const std::string& path, const Override& override) {
  const std::string text = format_override(override);
  if (auto set = result_of(::setxattr(path.c_str(), kOverrideAttribute, text.data(), text.size(), 0)); !set)
    return set;
  // This process must be able to go on reading and writing it.
  return result_of(::chmod(path.c_str(), (override.mode & 0777) | (inode.is_directory() ? 0700 : 0600)));
}

Outcome<> Server::set_mode(const Inode& inode, int path, const fuse::SetAttributesIn& wanted) {
  const auto& ownership = inode.root->options.ownership;
  const std::string proc = proc_path(path);
  mode_t mode = wanted.mode & 07777;
  if (std::holds_alternative<VirtualOwnership>(ownership)) {
    if (S_ISLNK(inode.identity.type)) return {};  // Has no extended attributes.
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
    if (auto set = set_override(inode, proc, next); !set) return set;
    if (wanted.valid & fuse::kSetMode) return change_access_list(proc, next.mode);
    return {};
  }
  if (!(wanted.valid & fuse::kSetMode)) return {};
  if (std::holds_alternative<SquashedOwnership>(ownership) && !inode.is_directory()) mode &= ~kSetIds;
  return result_of(::chmod(proc.c_str(), mode));
}

Outcome<> Server::set_size(const Inode& inode, int path, const fuse::SetAttributesIn& wanted) {
  if (!inode.is_file()) return failure(inode.is_directory() ? EISDIR : EINVAL);
  if (wanted.size > INT64_MAX) return failure(EFBIG);
  const auto size = static_cast<off_t>(wanted.size);
  const auto opened = wanted.valid & fuse::kSetHandle ? file(wanted.handle) : failure(EBADF);
  Outcome<> done = opened && (*opened)->inode.get() == &inode
                       ? result_of(::ftruncate((*opened)->descriptor.get(), size))
                       : result_of(::truncate(proc_path(path).c_str(), size));
  if (done && wanted.valid & fuse::kSetKillPrivileges) return drop_set_ids(inode, path);
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

}  // namespace alcove::share
