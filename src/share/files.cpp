// Open files.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "share/server.h"

namespace alcove::share {

namespace {

// Flags of open(2) that mean to the host what they mean to the guest; the same numbers on all architectures.
// Others are the guest's own business (O_NONBLOCK, O_DIRECT, O_CLOEXEC), or said with each write (O_APPEND).
constexpr uint32_t kPassed = O_ACCMODE | O_DSYNC | O_SYNC;

size_t total_size(std::span<const iovec> vectors) {
  size_t size = 0;
  for (const iovec& vector : vectors) size += vector.iov_len;
  return size;
}

// Calls transfer(vectors, count, done) until everything is done, nothing more can be, or it fails.
template <class Transfer>
Outcome<size_t> in_pieces(std::span<const iovec> vectors, Transfer transfer) {
  std::vector<iovec> left(vectors.begin(), vectors.end());
  size_t first = 0, done = 0;
  while (first < left.size()) {
    const size_t count = std::min<size_t>(left.size() - first, IOV_MAX);
    const ssize_t moved = transfer(&left[first], static_cast<int>(count), done);
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0 && done == 0) return failure(errno);
    if (moved <= 0) break;
    done += static_cast<size_t>(moved);
    auto rest = static_cast<size_t>(moved);
    while (first < left.size() && rest >= left[first].iov_len) rest -= left[first++].iov_len;
    if (rest > 0) {
      left[first].iov_base = static_cast<std::byte*>(left[first].iov_base) + rest;
      left[first].iov_len -= rest;
    }
  }
  return done;
}

}  // namespace

// Never anything but files and folders: to open a device or a pipe may do something by itself.
Outcome<UniqueFd> Server::reopen(const Inode& inode, int path, uint32_t flags) const {
  if (!inode.is_file() && !inode.is_directory()) return failure(ENXIO);
  if (inode.is_file() && flags & O_DIRECTORY) return failure(ENOTDIR);
  UniqueFd opened(::openat(proc_fds_.get(), std::to_string(path).c_str(),
                           static_cast<int>(flags) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!opened) return failure(errno);
  return opened;
}

// `is_changed`: since it was opened last; of no interest for folders.
fuse::OpenOut Server::opened(const Inode& inode, uint64_t handle, bool is_changed) {
  fuse::OpenOut out{.handle = handle, .open_flags = 0, .padding = 0};
  const auto caching = inode.root ? inode.root->options.caching_mode : SharedDirectoryCachingMode::automatic;
  switch (caching) {
    case SharedDirectoryCachingMode::none:
      if (!inode.is_directory()) out.open_flags = fuse::kOpenedDirectIo;
      break;
    case SharedDirectoryCachingMode::automatic:
      // What the guest has of a file is dropped when it opens one that has changed, and when it learns of
      // another time or size.
      if (!is_changed) out.open_flags = fuse::kOpenedKeepCache;
      break;
    case SharedDirectoryCachingMode::always:
      out.open_flags = fuse::kOpenedKeepCache | (inode.is_directory() ? fuse::kOpenedCacheDirectory : 0);
      break;
  }
  return out;
}

Outcome<Server::Opened> Server::open(uint64_t node, uint32_t flags, bool kill_privileges) {
  auto known = inode(node);
  if (!known) return failure(known.error());
  if (!(*known)->root || (*known)->is_directory()) return failure(EISDIR);
  const bool writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
  if (writes && (*known)->root->options.read_only) return failure(EROFS);
  const auto path = inodes_.path_to_open(*known);
  if (!path) return failure(path.error());
  uint32_t passed = flags & (kPassed | O_TRUNC);
  Outcome<UniqueFd> descriptor = failure(EACCES);
  // A guest that writes later reads what is around it first.
  if (writeback_cache_ && (flags & O_ACCMODE) == O_WRONLY)
    descriptor = reopen(**known, (*path)->get(), (passed & ~uint32_t{O_ACCMODE}) | O_RDWR);
  if (!descriptor) descriptor = reopen(**known, (*path)->get(), passed);
  if (!descriptor) return failure(descriptor.error());
  if (kill_privileges && flags & O_TRUNC) (void)drop_set_ids(**known, descriptor->get());
  auto file = std::make_shared<OpenFile>();
  file->descriptor = *std::move(descriptor);
  file->inode = *known;
  const auto handle = add_file(file);
  if (!handle) return failure(handle.error());
  const auto status = status_at(file->descriptor.get(), "");
  const bool is_changed = !status || !inodes_.is_unchanged(**known, *status);
  return Opened{.open = opened(**known, *handle, is_changed), .is_changed = is_changed};
}

Outcome<Server::Opened> Server::create(uint64_t parent, std::string_view name, const fuse::CreateIn& how,
                                       const Caller& caller) {
  const auto in = folder(parent, name, true);
  if (!in) return failure(in.error());
  if (const auto owner = host_owner(*in->inode, caller); !owner) return failure(owner.error());
  const auto& ownership = in->inode->root->options.ownership;
  mode_t mode = S_IFREG | (how.mode & 07777);
  mode_t host_mode = mode & 07777;
  if (std::holds_alternative<SquashedOwnership>(ownership)) host_mode &= ~(S_ISUID | S_ISGID);
  if (std::holds_alternative<VirtualOwnership>(ownership)) host_mode = (host_mode & 0777) | 0600;
  const std::string text(name);
  uint32_t flags = how.flags & kPassed;
  if (writeback_cache_ && (flags & O_ACCMODE) == O_WRONLY) flags = (flags & ~uint32_t{O_ACCMODE}) | O_RDWR;
  // What is there already is opened by its descriptor like any other, since it may be no file.
  const open_how new_file{.flags = flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                          .mode = host_mode,
                          .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS};
  const WithMask mask(*in->inode, caller);
  UniqueFd descriptor(
      static_cast<int>(::syscall(SYS_openat2, in->fd(), text.c_str(), &new_file, sizeof new_file)));
  if (!descriptor) {
    if (errno != EEXIST || how.flags & O_EXCL) return failure(errno);
    const auto found = look_up(parent, name);
    if (!found) return failure(found.error());
    auto opened = open(found->node, how.flags, how.open_flags & fuse::kOpenKillPrivileges);
    if (!opened) {
      forget(found->node, 1);
      return failure(opened.error());
    }
    opened->entry = *found;
    return opened;
  }
  auto status = status_at(descriptor.get(), "");
  if (!status) return failure(status.error());
  const auto entered = inodes_.enter(*status, in->inode, name);
  if (!entered) {
    ::unlinkat(in->fd(), text.c_str(), 0);
    return failure(entered.error());
  }
  auto file = std::make_shared<OpenFile>();
  file->inode = *entered;
  file->descriptor = std::move(descriptor);
  Outcome<> given = give(*in, file->descriptor.get(), mode, 0, caller);
  const auto handle = given ? add_file(file) : failure(given.error());
  if (handle && !std::holds_alternative<SquashedOwnership>(ownership))
    status = status_at(file->descriptor.get(), "");
  if (!handle || !status) {
    ::unlinkat(in->fd(), text.c_str(), 0);
    forget(file->inode->node, 1);
    return failure(handle ? status.error() : handle.error());
  }
  return Opened{.entry = entry(file->inode, *status, in->inode.get()),
                .open = opened(*file->inode, *handle, true)};
}

Outcome<Server::Opened> Server::make_temporary(uint64_t parent, const fuse::CreateIn& how,
                                               const Caller& caller) {
  const auto in = folder(parent, "temporary", true);  // The guest's name is never seen.
  if (!in) return failure(in.error());
  if (const auto owner = host_owner(*in->inode, caller); !owner) return failure(owner.error());
  const auto& ownership = in->inode->root->options.ownership;
  mode_t host_mode = how.mode & 07777;
  if (std::holds_alternative<SquashedOwnership>(ownership)) host_mode &= ~(S_ISUID | S_ISGID);
  if (std::holds_alternative<VirtualOwnership>(ownership)) host_mode = (host_mode & 0777) | 0600;
  const WithMask mask(*in->inode, caller);
  UniqueFd descriptor(::openat(
      in->fd(), ".", static_cast<int>((how.flags & (kPassed | O_EXCL)) | O_TMPFILE | O_CLOEXEC), host_mode));
  if (!descriptor) return failure(errno);
  if (auto given = give(*in, descriptor.get(), S_IFREG | (how.mode & 07777), 0, caller); !given)
    return failure(given.error());
  const auto status = status_at(descriptor.get(), "");
  if (!status) return failure(status.error());
  const auto entered = inodes_.enter(*status, in->inode, "");
  if (!entered) return failure(entered.error());
  auto file = std::make_shared<OpenFile>();
  file->inode = *entered;
  file->descriptor = std::move(descriptor);
  const auto handle = add_file(file);
  if (!handle) {
    forget(file->inode->node, 1);
    return failure(handle.error());
  }
  return Opened{.entry = entry(file->inode, *status, nullptr), .open = opened(*file->inode, *handle, true)};
}

Outcome<UniqueFd> Server::open_to_map(uint64_t node, bool is_written) {
  const auto known = inode(node);
  if (!known) return failure(known.error());
  if (!(*known)->is_file()) return failure(ENODEV);
  if (is_written && (*known)->root->options.read_only) return failure(EROFS);
  const auto path = inodes_.path_to_open(*known);
  if (!path) return failure(path.error());
  return reopen(**known, (*path)->get(), is_written ? O_RDWR : O_RDONLY);
}

Outcome<> Server::release(uint64_t handle) {
  File closed;
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(handle);
  if (found == files_.end()) return failure(EBADF);
  closed = std::move(found->second);
  files_.erase(found);
  return {};
}

Outcome<size_t> Server::read(uint64_t handle, uint64_t offset, std::span<const iovec> to, bool may_wait) {
  const auto opened = file(handle);
  if (!opened) return failure(opened.error());
  if (offset > INT64_MAX - total_size(to)) return failure(EINVAL);
  const int fd = (*opened)->descriptor.get();
  int flags = may_wait ? 0 : RWF_NOWAIT;
  bool would_wait = false;
  const auto size = in_pieces(to, [&](const iovec* vectors, int count, size_t done) {
    ssize_t got = ::preadv2(fd, vectors, count, static_cast<off_t>(offset + done), flags);
    if (got < 0 && errno == EOPNOTSUPP && flags != 0) {  // A file system that can't tell.
      flags = 0;
      got = ::preadv2(fd, vectors, count, static_cast<off_t>(offset + done), 0);
    }
    would_wait = got < 0 && errno == EAGAIN;
    return got;
  });
  if (would_wait) return failure(EAGAIN);
  return size;
}

Outcome<size_t> Server::write(const fuse::WriteIn& where, std::span<const iovec> from) {
  const auto opened = file(where.handle);
  if (!opened) return failure(opened.error());
  if (where.offset > INT64_MAX - total_size(from)) return failure(EFBIG);
  const int fd = (*opened)->descriptor.get();
  if (where.write_flags & fuse::kWriteKillPrivileges) (void)drop_set_ids(*(*opened)->inode, fd);
  // To the end as it is, wherever the guest believes it to be: others append, too. What the guest's cache
  // writes is meant for where it says.
  const bool appends =
      where.flags & O_APPEND && !(where.write_flags & fuse::kWriteCache) && !writeback_cache_;
  return in_pieces(from, [&](const iovec* vectors, int count, size_t done) {
    return ::pwritev2(fd, vectors, count, static_cast<off_t>(where.offset + done), appends ? RWF_APPEND : 0);
  });
}

// close(2) of the guest's.
Outcome<> Server::flush(uint64_t node, uint64_t handle, uint64_t lock_owner) {
  if (shared_locks_) drop_locks(node, lock_owner);
  const auto opened = file(handle);
  if (!opened) return failure(opened.error());
  return {};
}

Outcome<> Server::sync(uint64_t handle, bool data_only) {
  const auto opened = file(handle);
  if (!opened) return failure(opened.error());
  const int fd = (*opened)->descriptor.get();
  if ((data_only ? ::fdatasync(fd) : ::fsync(fd)) != 0) return failure(errno);
  return {};
}

Outcome<> Server::sync_file_system(uint64_t node) {
  const auto known = inode(node);
  if (!known) return failure(known.error());
  if (!(*known)->root || (*known)->root->options.read_only) return {};
  const auto path = inodes_.path(*known);
  if (!path) return failure(path.error());
  const auto folder = reopen(**known, (*path)->get(), O_RDONLY);
  if (!folder) return failure(folder.error());
  if (::syncfs(folder->get()) != 0) return failure(errno);
  return {};
}

Outcome<> Server::allocate(const fuse::AllocateIn& what) {
  const auto opened = file(what.handle);
  if (!opened) return failure(opened.error());
  if (what.offset > INT64_MAX || what.length > INT64_MAX - what.offset) return failure(EFBIG);
  if (::fallocate((*opened)->descriptor.get(), static_cast<int>(what.mode), static_cast<off_t>(what.offset),
                  static_cast<off_t>(what.length)) != 0) {
    return failure(errno);
  }
  return {};
}

Outcome<uint64_t> Server::seek(const fuse::SeekIn& to) {
  const auto opened = file(to.handle);
  if (!opened) return failure(opened.error());
  if (to.whence != SEEK_DATA && to.whence != SEEK_HOLE) return failure(EINVAL);
  if (to.offset > INT64_MAX) return failure(ENXIO);
  const off_t found =
      ::lseek((*opened)->descriptor.get(), static_cast<off_t>(to.offset), static_cast<int>(to.whence));
  if (found < 0) return failure(errno);
  return static_cast<uint64_t>(found);
}

Outcome<size_t> Server::copy_range(const fuse::CopyRangeIn& what) {
  const auto from = file(what.handle_in);
  if (!from) return failure(from.error());
  const auto to = file(what.handle_out);
  if (!to) return failure(to.error());
  if (what.offset_in > INT64_MAX || what.offset_out > INT64_MAX) return failure(EINVAL);
  auto offset_in = static_cast<off64_t>(what.offset_in), offset_out = static_cast<off64_t>(what.offset_out);
  // A reply counts in 32 bits.
  const size_t length = std::min<uint64_t>(what.length, 1 << 30);
  const ssize_t copied = ::copy_file_range((*from)->descriptor.get(), &offset_in, (*to)->descriptor.get(),
                                           &offset_out, length, 0);
  if (copied < 0) return failure(errno);
  return static_cast<size_t>(copied);
}

}  // namespace alcove::share
