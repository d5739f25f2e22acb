// Reading folders.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "share/server.h"

namespace alcove::share {

namespace {

constexpr size_t kReadAtOnce = 32 << 10;

// getdents64(2): what an entry begins with.
struct HostEntry {
  uint64_t inode;
  int64_t next;
  uint16_t length;
  uint8_t type;
  char name[5];
};
constexpr size_t kNameOffset = 19;

// Builds a reply of at most `size` bytes.
class Entries {
 public:
  Entries(uint32_t size, bool with_attributes) : size_(size), with_attributes_(with_attributes) {
    bytes_.reserve(size);
  }
  bool has_room(std::string_view name) const { return bytes_.size() + length(name) <= size_; }
  void add(std::string_view name, uint64_t inode, uint64_t next, uint32_t type, const fuse::EntryOut& entry) {
    const size_t start = bytes_.size();
    bytes_.resize(start + length(name));
    std::byte* to = &bytes_[start];
    if (with_attributes_) {
      std::memcpy(to, &entry, sizeof entry);
      to += sizeof entry;
    }
    const fuse::DirectoryEntry head{
        .inode = inode, .offset = next, .name_length = static_cast<uint32_t>(name.size()), .type = type};
    std::memcpy(to, &head, sizeof head);
    std::memcpy(to + sizeof head, name.data(), name.size());
  }
  bool is_empty() const { return bytes_.empty(); }
  Bytes take() { return std::move(bytes_); }

 private:
  size_t length(std::string_view name) const {
    return fuse::aligned((with_attributes_ ? sizeof(fuse::EntryOut) : 0) + sizeof(fuse::DirectoryEntry) +
                         name.size());
  }
  const size_t size_;
  const bool with_attributes_;
  Bytes bytes_;
};

bool is_dots(std::string_view name) {
  return name == "." || name == "..";
}

}  // namespace

Outcome<Server::Opened> Server::open_directory(uint64_t node) {
  auto known = inode(node);
  if (!known) return failure(known.error());
  if (!(*known)->is_directory()) return failure(ENOTDIR);
  auto file = std::make_shared<OpenFile>();
  file->inode = *known;
  if ((*known)->root) {
    const auto path = inodes_.path(*known);
    if (!path) return failure(path.error());
    auto descriptor = reopen(**known, (*path)->get(), O_RDONLY | O_DIRECTORY);
    if (!descriptor) return failure(descriptor.error());
    file->descriptor = *std::move(descriptor);
  }
  const auto handle = add_file(file);
  if (!handle) return failure(handle.error());
  return Opened{.open = opened(**known, *handle, true)};
}

// The folder of the folders' names: "." and "..", then those, numbered from 1.
Outcome<Bytes> Server::read_names(const Node& names_inode, uint64_t offset, uint32_t size,
                                  bool with_attributes) {
  std::vector<std::string> names = {".", ".."};
  {
    const std::lock_guard lock(mutex_);
    for (const auto& root : share_.folders) names.push_back(root->name);
  }
  Entries entries(size, with_attributes);
  for (uint64_t index = offset; index < names.size() && entries.has_room(names[index]); ++index) {
    fuse::EntryOut entry{};
    if (with_attributes && index >= 2) {
      if (const auto found = look_up_share(names_inode, names[index])) entry = *found;
    }
    const uint64_t inode = entry.node ? entry.attributes.inode : fuse::kRootNode;
    entries.add(names[index], inode, index + 1, S_IFDIR >> 12, entry);
  }
  return entries.take();
}

Outcome<Bytes> Server::read_directory(uint64_t node, uint64_t handle, uint64_t offset, uint32_t size,
                                      bool with_attributes) {
  const auto opened = file(handle);
  if (!opened) return failure(opened.error());
  OpenFile& directory = **opened;
  if (directory.inode->node != node || !directory.inode->is_directory()) return failure(EBADF);
  if (!directory.inode->root) return read_names(directory.inode, offset, size, with_attributes);
  const int fd = directory.descriptor.get();
  const bool hides_types = std::holds_alternative<VirtualOwnership>(directory.inode->root->options.ownership);

  const std::lock_guard lock(directory.reading);
  if (offset != directory.offset || directory.position == 0) {
    if (::lseek(fd, static_cast<off_t>(offset), SEEK_SET) < 0) return failure(errno);
    directory.entries.clear();
    directory.position = 0;
    directory.offset = offset;
  }
  Entries entries(size, with_attributes);
  while (true) {
    if (directory.position == directory.entries.size()) {
      directory.entries.resize(kReadAtOnce);
      const long count = ::syscall(SYS_getdents64, fd, directory.entries.data(), directory.entries.size());
      const int error = errno;
      directory.entries.resize(static_cast<size_t>(std::max(count, 0l)));
      directory.position = 0;
      // What was read before is told of; the next request meets the error again.
      if (count < 0 && entries.is_empty()) return failure(error);
      if (count <= 0) return entries.take();
    }
    const char* at = directory.entries.data() + directory.position;
    HostEntry host;
    std::memcpy(&host, at, kNameOffset);
    const std::string_view name(at + kNameOffset);
    if (!entries.has_room(name)) {
      if (entries.is_empty()) return failure(EINVAL);  // Nothing would be the end.
      return entries.take();
    }
    fuse::EntryOut entry{};
    if (with_attributes && !is_dots(name)) {
      // One that is gone by now is told of without.
      if (const auto found = look_up(node, name)) entry = *found;
    }
    uint32_t type = hides_types && host.type == DT_REG ? uint32_t{DT_UNKNOWN} : host.type;
    if (entry.node) type = entry.attributes.mode >> 12;
    entries.add(name, host.inode, static_cast<uint64_t>(host.next), type, entry);
    directory.position += host.length;
    directory.offset = static_cast<uint64_t>(host.next);
  }
}

Outcome<> Server::sync_directory(uint64_t node, uint64_t handle, bool data_only) {
  const auto opened = file(handle);
  if (!opened) return failure(opened.error());
  if ((*opened)->inode->node != node) return failure(EBADF);
  if (!(*opened)->descriptor) return {};
  return sync(handle, data_only);
}

}  // namespace alcove::share
