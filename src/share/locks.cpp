// Locks that hold on the host, too. A process's locks of byte ranges (fcntl(2)) are those of an open file of
// their own, since many of the guest's processes are one of the host's; flock(2) belongs to the guest's open
// file already.
#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <climits>

#include "share/server.h"

namespace alcove::share {

namespace {

std::optional<struct flock> range_of(const fuse::FileLock& lock) {
  if (lock.start > INT64_MAX || lock.end < lock.start) return {};
  struct flock range{};
  range.l_type = static_cast<short>(lock.type);
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(lock.start);
  range.l_len = lock.end >= INT64_MAX ? 0 : static_cast<off_t>(lock.end - lock.start + 1);
  return range;
}

bool is_type(uint32_t type) {
  return type == F_RDLCK || type == F_WRLCK || type == F_UNLCK;
}

}  // namespace

// Not where the share has none of the host's: a guest would keep the host's own programs waiting.
Outcome<Server::File> Server::file_to_lock(uint64_t handle) {
  auto opened = file(handle);
  if (!opened) return opened;
  const Root* const root = (*opened)->inode->root.get();
  if (!root || !root->options.shared_locks) return failure(ENOLCK);
  return opened;
}

// The open file that has the owner's locks, made if there is none.
Outcome<SharedFd> Server::lock_file(const File& opened, uint64_t owner) {
  const std::pair key(opened->inode->node, owner);
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = lock_files_.find(key); found != lock_files_.end()) return found->second;
    if (lock_files_.size() >= limits_.open_files) return failure(ENOLCK);
  }
  const int path = opened->descriptor.get();
  Outcome<UniqueFd> descriptor = failure(EROFS);
  if (!opened->inode->root->options.read_only) descriptor = reopen(*opened->inode, path, O_RDWR);
  if (!descriptor) descriptor = reopen(*opened->inode, path, O_RDONLY);
  if (!descriptor) return failure(descriptor.error());
  const std::lock_guard lock(mutex_);
  if (!inodes_.knows(*opened->inode)) return failure(ESTALE);
  return lock_files_.try_emplace(key, std::make_shared<const UniqueFd>(*std::move(descriptor))).first->second;
}

Outcome<fuse::FileLock> Server::get_lock(const fuse::LockIn& what) {
  const auto opened = file_to_lock(what.handle);
  if (!opened) return failure(opened.error());
  auto range = range_of(what.lock);
  if (!range || !is_type(what.lock.type)) return failure(EINVAL);
  const auto locks = lock_file(*opened, what.owner);
  if (!locks) return failure(locks.error());
  if (::fcntl((*locks)->get(), F_OFD_GETLK, &*range) != 0) return failure(errno);
  if (range->l_type == F_UNLCK) return fuse::FileLock{.start = 0, .end = 0, .type = F_UNLCK, .process = 0};
  const auto start = static_cast<uint64_t>(range->l_start);
  return fuse::FileLock{
      .start = start,
      .end = range->l_len == 0 ? uint64_t{INT64_MAX} : start + static_cast<uint64_t>(range->l_len) - 1,
      .type = static_cast<uint32_t>(range->l_type),
      .process = 0};
}

Outcome<> Server::set_lock(const fuse::LockIn& what) {
  const auto opened = file_to_lock(what.handle);
  if (!opened) return failure(opened.error());
  if (!is_type(what.lock.type)) return failure(EINVAL);
  if (what.flags & fuse::kLockFlock) {
    const int operation = what.lock.type == F_UNLCK ? LOCK_UN : what.lock.type == F_RDLCK ? LOCK_SH : LOCK_EX;
    if (::flock((*opened)->descriptor.get(), operation | LOCK_NB) != 0) return failure(errno);
    return {};
  }
  auto range = range_of(what.lock);
  if (!range) return failure(EINVAL);
  const auto locks = lock_file(*opened, what.owner);
  if (!locks) return failure(locks.error());
  if (::fcntl((*locks)->get(), F_OFD_SETLK, &*range) != 0) return failure(errno);
  return {};
}

// A process of the guest's closed one of its descriptors of the file: its locks of ranges are gone
// (fcntl(2)).
void Server::drop_locks(uint64_t node, uint64_t owner) {
  SharedFd closed;
  const std::lock_guard lock(mutex_);
  const auto found = lock_files_.find({node, owner});
  if (found == lock_files_.end()) return;
  closed = std::move(found->second);
  lock_files_.erase(found);
}

}  // namespace alcove::share
