// What --share takes.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "cli/machine_options.h"

namespace alcove::cli {

namespace {

std::unexpected<Error> usage(std::string what, std::string hint) {
  return fail(ErrorCode::invalid_virtual_machine_configuration, "--share", std::move(what), std::move(hint));
}

// "1000" or "1000:100".
std::optional<SquashedOwnership> parse_ids(std::string_view text) {
  SquashedOwnership ids;
  const auto take = [&](uint32_t& id) {
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), id);
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    return status == std::errc();
  };
  if (!take(ids.user)) return {};
  ids.group = ids.user;
  if (text.empty()) return ids;
  if (text.front() != ':') return {};
  text.remove_prefix(1);
  if (!take(ids.group) || !text.empty()) return {};
  return ids;
}

std::optional<SharedDirectoryOwnership> parse_owner(const std::string& text) {
  if (text == "virtual") return VirtualOwnership{};
  const IDRange all{.host = 0, .guest = 0, .count = UINT32_MAX};
  if (text == "host") return MappedOwnership{.users = {all}, .groups = {all}};
  if (const auto ids = parse_ids(text)) return *ids;
  return {};
}

}  // namespace

Result<> add_share(const std::string& text, VirtualMachineConfiguration& configuration) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    return usage(fmt::format("'{}' is no tag and folder", text), "give TAG=FOLDER, like src=/home/me/src");
  const std::string tag = text.substr(0, equals);
  std::string_view rest = std::string_view(text).substr(equals + 1);
  const auto next = [&] {
    const std::string part(rest.substr(0, rest.find(',')));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    return part;
  };
  SharedDirectory directory{.path = next()};
  std::optional<std::string> name, mount_point;
  std::optional<uint64_t> window;
  while (!rest.empty()) {
    const std::string part = next();
    const size_t sign = part.find('=');
    const std::string key = part.substr(0, sign);
    const std::string value = sign == std::string::npos ? "" : part.substr(sign + 1);
    const auto owner = parse_owner(value);
    const auto caching = from_string<SharedDirectoryCachingMode>(value);
    if (part == "readonly") {
      directory.read_only = true;
    } else if (part == "locks") {
      directory.shared_locks = true;
    } else if (key == "cache" && caching) {
      directory.caching_mode = *caching;
    } else if (key == "owner" && owner) {
      directory.ownership = *owner;
    } else if (key == "name") {
      name = value;
    } else if (key == "mount") {
      mount_point = value;
    } else if (key == "dax") {
      const auto size = parse_size_option("--share", value);
      if (!size) return std::unexpected(size.error());
      window = *size;
    } else {
      return usage(
          fmt::format("'{}' is not an option of a shared folder", part),
          "use readonly, cache=auto|none|always, owner=USER[:GROUP]|host|virtual, locks, mount=PATH, "
          "dax=SIZE or name=NAME");
    }
  }
  auto& devices = configuration.directory_sharing_devices;
  const auto found = std::ranges::find_if(devices, [&](const auto& device) {
    return std::get<VirtioFileSystemDeviceConfiguration>(device).tag == tag;
  });
  if (!name) {
    if (found != devices.end())
      return usage(fmt::format("'{}' is the tag of two folders", tag),
                   "give each a name=NAME, or tags of their own");
    devices.emplace_back(VirtioFileSystemDeviceConfiguration{.tag = tag,
                                                             .share = SingleDirectoryShare{directory},
                                                             .mount_point = mount_point.value_or(""),
                                                             .dax_window_size = window.value_or(0)});
    return {};
  }
  if (found == devices.end()) {
    devices.emplace_back(
        VirtioFileSystemDeviceConfiguration{.tag = tag,
                                            .share = MultipleDirectoryShare{{{*name, directory}}},
                                            .mount_point = mount_point.value_or(""),
                                            .dax_window_size = window.value_or(0)});
    return {};
  }
  if (window) std::get<VirtioFileSystemDeviceConfiguration>(*found).dax_window_size = *window;
  if (mount_point) std::get<VirtioFileSystemDeviceConfiguration>(*found).mount_point = *mount_point;
  auto& share = *std::get<VirtioFileSystemDeviceConfiguration>(*found).share;
  auto* several = std::get_if<MultipleDirectoryShare>(&share);
  if (!several || !several->directories.try_emplace(*name, directory).second)
    return usage(fmt::format("'{}' has a folder '{}', or one without a name", tag, *name),
                 "give each another name");
  return {};
}

}  // namespace alcove::cli
