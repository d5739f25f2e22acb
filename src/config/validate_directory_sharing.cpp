#include <alcove/literals.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <map>

#include "config/validate.h"
#include "support/utf8.h"

namespace alcove {

namespace {

constexpr size_t kLongestTag = 36;  // Virtio 1.2, section 5.11.4

bool is_control(char character) {
  const auto byte = static_cast<unsigned char>(character);
  return byte < 0x20 || byte == 0x7f;
}

std::unexpected<Error> invalid(std::string what, std::string hint) {
  return fail(ErrorCode::invalid_virtual_machine_configuration, "", std::move(what), std::move(hint));
}

}  // namespace

Result<> VirtioFileSystemDeviceConfiguration::validate_tag(std::string_view tag) {
  if (tag.empty()) return invalid("is empty", "the guest mounts it by this name");
  if (tag.size() > kLongestTag) {
    return invalid(fmt::format("\"{}\" has {} bytes", tag, tag.size()),
                   fmt::format("at most {}", kLongestTag));
  }
  if (!is_utf8(tag) || std::ranges::any_of(tag, is_control))
    return invalid("is not a text in UTF-8 without control characters", "use letters, digits and '-'");
  return {};
}

Result<> MultipleDirectoryShare::validate_name(std::string_view name) {
  if (name.empty()) return invalid("is empty", "the guest sees the directory by this name");
  if (name.size() > NAME_MAX)
    return invalid(fmt::format("has {} bytes", name.size()), fmt::format("at most {}", NAME_MAX));
  if (name == "." || name == "..")
    return invalid(fmt::format("\"{}\" can't name a directory", name), "use letters and digits");
  if (!is_utf8(name) || name.find('/') != name.npos || std::ranges::any_of(name, is_control))
    return invalid("has a character that a name can't have", "neither '/' nor control characters");
  return {};
}

std::optional<std::string> MultipleDirectoryShare::canonicalized_name(std::string_view name) {
  if (!is_utf8(name)) return {};
  std::string result;
  for (char character : name) {
    if (!is_control(character)) result += character == '/' ? '-' : character;
  }
  if (result == "." || result == "..") return {};
  if (result.size() > NAME_MAX) {
    size_t end = NAME_MAX;  // Not in the middle of a character.
    while (end > 0 && (static_cast<unsigned char>(result[end]) & 0xc0) == 0x80) --end;
    result.resize(end);
  }
  if (result.empty()) return {};
  return result;
}

namespace config {
namespace {

using namespace literals;

class SharingValidator {
 public:
  explicit SharingValidator(Problems& problems) : problems_(problems) {}

  void validate(const VirtioFileSystemDeviceConfiguration& device, const std::string& where) {
    if (const auto valid = VirtioFileSystemDeviceConfiguration::validate_tag(device.tag); !valid) {
      problems_.add(where + ".tag", valid.error().what, valid.error().hint);
    } else if (const auto [other, is_first] = tags_.try_emplace(device.tag, where); !is_first) {
      problems_.add(where + ".tag", fmt::format("\"{}\" is also that of {}", device.tag, other->second),
                    "each device needs its own");
    }
    validate_mount_point(device, where);
    validate_window(device, where + ".dax_window_size");
    if (device.share) validate(*device.share, where + ".share");
  }

  void validate(const DirectoryShare& share, const std::string& where) {
    if (const auto* single = std::get_if<SingleDirectoryShare>(&share))
      return validate(single->directory, where + ".directory");
    for (const auto& [name, directory] : std::get<MultipleDirectoryShare>(share).directories) {
      const std::string field = fmt::format("{}.directories.{}", where, name);
      if (const auto valid = MultipleDirectoryShare::validate_name(name); !valid)
        problems_.add(field, fmt::format("its name {}", valid.error().what), valid.error().hint);
      validate(directory, field);
    }
  }

 private:
  // Tag and path become words of a file or a kernel's parameter.
  void validate_mount_point(const VirtioFileSystemDeviceConfiguration& device, const std::string& where) {
    const std::string& path = device.mount_point;
    if (path.empty()) return;
    const auto is_plain = [](const std::string& text) {
      return is_utf8(text) && std::ranges::none_of(text, [](char c) {
               return is_control(c) || std::string_view(" \"'\\:#").contains(c);
             });
    };
    if (!path.starts_with('/') || path == "/" || !is_plain(path) || path.size() >= 256) {
      problems_.add(where + ".mount_point", fmt::format("\"{}\" is no path for a mount", path),
                    "an absolute path in the guest without blanks, quotes and colons, like /mnt/src");
    } else if (!is_plain(device.tag)) {
      problems_.add(where + ".tag", "has a blank, a quote or a colon",
                    "the guest could not mount it by itself");
    }
  }

  void validate_window(const VirtioFileSystemDeviceConfiguration& device, const std::string& where) {
    constexpr uint64_t kUnit = 2_MiB, kMost = VirtioFileSystemDeviceConfiguration::kLargestDaxWindows;
    if (device.dax_window_size % kUnit != 0) {
      problems_.add(where, fmt::format("{} is no multiple of 2 MiB", format_size(device.dax_window_size)),
                    fmt::format("{} would be", format_size((device.dax_window_size / kUnit + 1) * kUnit)));
    } else if (device.dax_window_size > kMost - windows_) {
      problems_.add(where, fmt::format("all windows of a machine have {} at most", format_size(kMost)),
                    "a window may be smaller than the files that are mapped through it");
    } else {
      windows_ += device.dax_window_size;
    }
  }

  void validate(const SharedDirectory& directory, const std::string& where) {
    struct stat status{};
    const std::string path = directory.path.string();
    if (path.empty()) {
      problems_.add(where + ".path", "is empty", "name a folder that exists");
    } else if (::stat(path.c_str(), &status) != 0) {
      problems_.add(where + ".path", fmt::format("can't find {}: {}", path, std::strerror(errno)),
                    "name a folder that exists");
    } else if (!S_ISDIR(status.st_mode)) {
      problems_.add(where + ".path", fmt::format("{} is not a folder", path),
                    "share the folder that it is in");
    } else if (::access(path.c_str(), R_OK | X_OK) != 0) {
      problems_.add(where + ".path", fmt::format("can't read {}: {}", path, std::strerror(errno)),
                    "have its owner let you read it");
    }
    const auto* map = std::get_if<MappedOwnership>(&directory.ownership);
    if (!map) return;
    validate(map->users, where + ".ownership.users");
    validate(map->groups, where + ".ownership.groups");
  }

  void validate(const std::vector<IDRange>& ranges, const std::string& where) {
    if (ranges.empty())
      problems_.add(where, "are none", "without any, nothing in the guest could own a file");
    for (size_t index = 0; index < ranges.size(); ++index) {
      const std::string field = fmt::format("{}[{}]", where, index);
      const IDRange& range = ranges[index];
      if (range.count == 0 || UINT32_MAX - range.count < std::max(range.host, range.guest)) {
        problems_.add(field + ".count", fmt::format("there are no {} ids from there on", range.count),
                      "ids are 0 to 4294967294");
        continue;
      }
      for (size_t other = 0; other < index; ++other) {
        const auto overlap = [](uint64_t a, uint64_t a_count, uint64_t b, uint64_t b_count) {
          return a < b + b_count && b < a + a_count;
        };
        const IDRange& before = ranges[other];
        if (overlap(range.host, range.count, before.host, before.count) ||
            overlap(range.guest, range.count, before.guest, before.count)) {
          problems_.add(field, fmt::format("has ids that {}[{}] has, too", where, other),
                        "each id of host and guest once");
        }
      }
    }
  }

  Problems& problems_;
  std::map<std::string, std::string> tags_;
  uint64_t windows_ = 0;  // Their sizes so far.
};

}  // namespace

void validate_directory_sharing(const VirtualMachineConfiguration& configuration, Problems& problems) {
  SharingValidator validator(problems);
  const auto& devices = configuration.directory_sharing_devices;
  for (size_t index = 0; index < devices.size(); ++index) {
    validator.validate(std::get<VirtioFileSystemDeviceConfiguration>(devices[index]),
                       fmt::format("directory_sharing_devices[{}]", index));
  }
}

std::vector<Error> validate_share(const DirectoryShare& share) {
  Problems problems;
  SharingValidator(problems).validate(share, "share");
  return problems.take();
}

}  // namespace config
}  // namespace alcove
