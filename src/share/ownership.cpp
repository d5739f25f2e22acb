#include "share/ownership.h"

#include <fmt/format.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <charconv>

namespace alcove::share {

namespace {

uint32_t encode_device(uint32_t major, uint32_t minor) {
  return (minor & 0xff) | (major & 0xfff) << 8 | (minor & ~0xffu) << 12;
}

// Takes a number up to `separator` or the end.
template <class Integer>
bool take(std::string_view& text, Integer& value, char separator, int base = 10) {
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (status != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (text.empty()) return true;
  if (text.front() != separator) return false;
  text.remove_prefix(1);
  return true;
}

struct KindName {
  std::string_view name;
  mode_t type;
};
constexpr KindName kKinds[] = {{"file", S_IFREG}, {"dir", S_IFDIR},     {"symlink", S_IFLNK},
                               {"pipe", S_IFIFO}, {"socket", S_IFSOCK}, {"block-", S_IFBLK},
                               {"char-", S_IFCHR}};

}  // namespace

uint32_t to_guest(const std::vector<IDRange>& ranges, uint32_t id) {
  for (const IDRange& range : ranges) {
    if (id >= range.host && id - range.host < range.count) return range.guest + (id - range.host);
  }
  return kNobody;
}

std::optional<uint32_t> to_host(const std::vector<IDRange>& ranges, uint32_t id) {
  for (const IDRange& range : ranges) {
    if (id >= range.guest && id - range.guest < range.count) return range.host + (id - range.guest);
  }
  return {};
}

std::optional<Owner> on_host(const MappedOwnership& ownership, Owner guest) {
  const auto user = to_host(ownership.users, guest.user);
  const auto group = to_host(ownership.groups, guest.group);
  if (!user || !group) return {};
  return Owner{*user, *group};
}

std::optional<Override> parse_override(std::string_view text, uint32_t host_mode) {
  Override override;
  uint32_t permissions = 0;
  if (!take(text, override.owner.user, ':') || !take(text, override.owner.group, ':') ||
      !take(text, permissions, ':', 8) || permissions > 07777) {
    return {};
  }
  override.mode = (host_mode & S_IFMT) | permissions;
  // Only a file can stand for something else; a folder is always one.
  if (text.empty() || !S_ISREG(host_mode)) return override;
  for (const auto& [name, type] : kKinds) {
    if (!text.starts_with(name) || type == S_IFDIR || type == S_IFLNK) continue;
    text.remove_prefix(name.size());
    override.mode = type | permissions;
    if (type != S_IFBLK && type != S_IFCHR) return text.empty() ? std::optional(override) : std::nullopt;
    uint32_t major = 0, minor = 0;
    if (!take(text, major, '-') || !take(text, minor, '-') || !text.empty()) return {};
    override.device = encode_device(major, minor);
    return override;
  }
  return {};
}

std::string format_override(const Override& override) {
  std::string text =
      fmt::format("{}:{}:0{:o}", override.owner.user, override.owner.group, override.mode & 07777);
  for (const auto& [name, type] : kKinds) {
    if (type != (override.mode & S_IFMT)) continue;
    text += fmt::format(":{}", name);
    if (type != S_IFBLK && type != S_IFCHR) continue;
    text += fmt::format("{}-{}", override.device >> 8 & 0xfff,
                        (override.device & 0xff) | (override.device >> 12 & 0xfff00));
  }
  return text;
}

Seen seen(const SharedDirectoryOwnership& ownership, const Status& status, const char* path) {
  Seen result{.owner = {status.stx_uid, status.stx_gid},
              .mode = status.stx_mode,
              .device = encode_device(status.stx_rdev_major, status.stx_rdev_minor)};
  if (const auto* squash = std::get_if<SquashedOwnership>(&ownership)) {
    result.owner = {squash->user, squash->group};
  } else if (const auto* map = std::get_if<MappedOwnership>(&ownership)) {
    result.owner = {to_guest(map->users, status.stx_uid), to_guest(map->groups, status.stx_gid)};
  } else {
    const auto& defaults = std::get<VirtualOwnership>(ownership);
    result.owner = {defaults.user, defaults.group};
    if (!path || (!S_ISREG(status.stx_mode) && !S_ISDIR(status.stx_mode))) return result;
    char text[128];
    const ssize_t size = ::getxattr(path, kOverrideAttribute, text, sizeof text);
    if (size < 0) return result;
    if (const auto override = parse_override({text, static_cast<size_t>(size)}, status.stx_mode)) {
      result = {.owner = override->owner, .mode = override->mode, .device = override->device};
    }
  }
  return result;
}

}  // namespace alcove::share
