// Extended attributes, and the access control lists among them: mapped ownership has the host's own, with
// other ids; virtual ownership keeps them in attributes of its own; squashed ownership, which believes in no
// owners, has none.
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "share/access_list.h"
#include "share/server.h"

namespace alcove::share {

namespace {

constexpr const char* kVirtualPrefix = "user.alcove.";
constexpr std::string_view kSystemPrefix = "system.";

bool is_access_list(std::string_view name) {
  return name == kAccessList || name == kDefaultList;
}

std::string kept_virtually(std::string_view name) {
  return kVirtualPrefix + std::string(name.substr(kSystemPrefix.size()));
}

// Attributes that are files' own, and mean nothing to this host.
bool is_guests(std::string_view name) {
  return name.starts_with("user.") && name != kOverrideAttribute && name != kept_virtually(kAccessList) &&
         name != kept_virtually(kDefaultList);
}

Outcome<Bytes> read_attribute(const std::string& path, const std::string& name) {
  constexpr size_t kMost = 256;  // Of nearly all of them.
  for (const size_t size : {kMost, size_t{XATTR_SIZE_MAX}}) {
    Bytes bytes(size);
    const ssize_t got = ::getxattr(path.c_str(), name.c_str(), bytes.data(), bytes.size());
    if (got < 0 && errno == ERANGE) continue;
    if (got < 0) return failure(errno);
    bytes.resize(static_cast<size_t>(got));
    return bytes;
  }
  return failure(ERANGE);
}

Outcome<> write_attribute(const std::string& path, const std::string& name,
                          std::span<const std::byte> value) {
  return result_of(::setxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0));
}

// One that need not be there.
Outcome<> remove_attribute(const std::string& path, const std::string& name) {
  const Outcome<> removed = result_of(::removexattr(path.c_str(), name.c_str()));
  if (!removed && removed.error() == ENODATA) return {};
  return removed;
}

// Of those that are kept virtually.
std::optional<AccessList> kept_list(const std::string& path, const char* name) {
  const auto bytes = read_attribute(path, kept_virtually(name));
  return bytes ? AccessList::parse(*bytes) : std::nullopt;
}

// The number of bytes that there are, and those, where the guest wants them.
Outcome<Server::Extended> sized(Bytes bytes, uint32_t wanted) {
  Server::Extended result{.bytes = std::move(bytes), .size = 0};
  result.size = static_cast<uint32_t>(result.bytes.size());
  if (wanted == 0) result.bytes.clear();
  if (wanted != 0 && result.size > wanted) return failure(ERANGE);
  return result;
}

}  // namespace

Outcome<std::string> Server::kept_as(const Inode& inode, const std::string& name) const {
  if (!is_access_list(name)) return is_guests(name) ? Outcome<std::string>(name) : failure(EOPNOTSUPP);
  if (!access_lists_) return failure(EOPNOTSUPP);
  const auto& ownership = inode.root->options.ownership;
  if (std::holds_alternative<SquashedOwnership>(ownership)) return failure(EOPNOTSUPP);
  return std::holds_alternative<VirtualOwnership>(ownership) ? kept_virtually(name) : name;
}

Outcome<Bytes> Server::access_list(const Inode& inode, const std::string& path,
                                   const std::string& name) const {
  const auto kept = kept_as(inode, name);
  // A guest that asks everywhere, since another folder of the share has them.
  if (!kept) return failure(access_lists_ ? ENODATA : kept.error());
  const auto bytes = read_attribute(path, *kept);
  if (!bytes) return failure(bytes.error() == EOPNOTSUPP ? ENODATA : bytes.error());
  const auto list = AccessList::parse(*bytes);
  if (!list) return failure(ENODATA);
  const auto* map = std::get_if<MappedOwnership>(&inode.root->options.ownership);
  if (!map) return list->format();
  return list
      ->translated([&](AccessList::Tag tag, uint32_t id) -> std::optional<uint32_t> {
        return to_guest(tag == AccessList::Tag::user ? map->users : map->groups, id);
      })
      ->format();
}

Outcome<> Server::set_access_list(const Inode& inode, int descriptor, const std::string& name,
                                  std::span<const std::byte> value, bool drop_set_group) {
  const std::string path = proc_path(descriptor);
  const auto kept = kept_as(inode, name);
  if (!kept) return failure(kept.error());
  const auto list = AccessList::parse(value);
  if (!list) return failure(EINVAL);
  if (name == kDefaultList && !inode.is_directory()) return failure(EACCES);
  if (S_ISLNK(inode.identity.type)) return failure(EOPNOTSUPP);
  if (const auto* map = std::get_if<MappedOwnership>(&inode.root->options.ownership)) {
    const auto on_host = list->translated([&](AccessList::Tag tag, uint32_t id) {
      return to_host(tag == AccessList::Tag::user ? map->users : map->groups, id);
    });
    if (!on_host) return failure(EINVAL);
    if (auto set = write_attribute(path, *kept, on_host->format()); !set) return set;
    if (!drop_set_group || name != kAccessList) return {};
    const auto now = status_at(descriptor, "");
    if (!now) return failure(now.error());
    if ((now->stx_mode & S_ISGID) == 0) return {};
    return result_of(::chmod(path.c_str(), now->stx_mode & 07777 & ~mode_t{S_ISGID}));
  }
  if (name == kDefaultList) return write_attribute(path, *kept, list->format());
  const auto host = status_at(descriptor, "");
  if (!host) return failure(host.error());
  const Seen now = seen(inode.root->options.ownership, *host, path.c_str());
  const mode_t mode =
      (now.mode & ~mode_t{0777} & ~mode_t{drop_set_group ? S_ISGID : 0u}) | list->permissions();
  if (auto set =
          list->is_minimal() ? remove_attribute(path, *kept) : write_attribute(path, *kept, list->format());
      !set) {
    return set;
  }
  return set_override(inode, path, {.owner = now.owner, .mode = mode, .device = now.device});
}

Outcome<> Server::change_access_list(const std::string& path, mode_t mode) {
  auto list = kept_list(path, kAccessList);
  if (!list) return {};
  list->set_permissions(mode);
  return write_attribute(path, kept_virtually(kAccessList), list->format());
}

Outcome<mode_t> Server::inherit_access_lists(const std::string& folder, const std::string& path, mode_t mode,
                                             mode_t mask) {
  const auto defaults = kept_list(folder, kDefaultList);
  if (!defaults) return mode & ~mask;
  const AccessList list = defaults->inherited(mode);
  Outcome<> kept;
  if (!list.is_minimal()) kept = write_attribute(path, kept_virtually(kAccessList), list.format());
  if (kept && S_ISDIR(mode)) kept = write_attribute(path, kept_virtually(kDefaultList), defaults->format());
  if (!kept) return failure(kept.error());
  return (mode & ~mode_t{0777}) | list.permissions();
}

Outcome<> Server::set_extended_attribute(uint64_t node, const std::string& name,
                                         std::span<const std::byte> value, uint32_t flags,
                                         bool drop_set_group) {
  const auto known = inode(node);
  if (!known) return failure(known.error());
  if (!(*known)->root || (*known)->root->options.read_only) return failure(EROFS);
  const auto kept = kept_as(**known, name);
  if (!kept) return failure(kept.error());
  const auto path = inodes_.path(*known);
  if (!path) return failure(path.error());
  const std::string proc = proc_path((*path)->get());
  if (is_access_list(name)) return set_access_list(**known, (*path)->get(), name, value, drop_set_group);
  return result_of(
      ::setxattr(proc.c_str(), kept->c_str(), value.data(), value.size(), static_cast<int>(flags)));
}

Outcome<Server::Extended> Server::extended_attribute(uint64_t node, const std::string& name, uint32_t size) {
  const auto known = inode(node);
  if (!known) return failure(known.error());
  if (!is_guests(name) && !is_access_list(name)) return failure(EOPNOTSUPP);
  if (!(*known)->root) return failure(ENODATA);
  const auto path = inodes_.path(*known);
  if (!path) return failure(path.error());
  const std::string proc = proc_path((*path)->get());
  auto bytes = is_access_list(name) ? access_list(**known, proc, name) : read_attribute(proc, name);
  if (!bytes) return failure(bytes.error());
  return sized(*std::move(bytes), size);
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
  Bytes names;
  const auto add = [&](const std::string& name) {
    const auto bytes = std::as_bytes(std::span(name.c_str(), name.size() + 1));
    names.insert(names.end(), bytes.begin(), bytes.end());
  };
  for (std::string_view left(all.data(), static_cast<size_t>(got)); !left.empty();) {
    const std::string name(left.substr(0, left.find('\0')));
    left.remove_prefix(std::min(left.size(), name.size() + 1));
    if (is_guests(name)) add(name);
    for (const std::string list : {kAccessList, kDefaultList}) {
      if (kept_as(**known, list) == name) add(list);
    }
  }
  return sized(std::move(names), size);
}

Outcome<> Server::remove_extended_attribute(uint64_t node, const std::string& name) {
  const auto known = inode(node);
  if (!known) return failure(known.error());
  if (!(*known)->root || (*known)->root->options.read_only) return failure(EROFS);
  const auto kept = kept_as(**known, name);
  if (!kept) return failure(kept.error());
  const auto path = inodes_.path(*known);
  if (!path) return failure(path.error());
  const std::string proc = proc_path((*path)->get());
  if (is_access_list(name)) return remove_attribute(proc, *kept);
  return result_of(::removexattr(proc.c_str(), kept->c_str()));
}

}  // namespace alcove::share
