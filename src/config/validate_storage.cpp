#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>

#include "config/validate.h"
#include "support/unique_fd.h"

namespace alcove {

namespace {

// What guests make a name below /dev/disk/by-id of. 20 bytes: virtio 1.2, section 5.2.6 (GET_ID); NVM Express
// 1.4, figure 247 (Serial Number).
Result<> validate_identifier(std::string_view identifier) {
  constexpr size_t kLongest = 20;
  if (identifier.size() > kLongest) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, "",
                fmt::format("\"{}\" has {} bytes", identifier, identifier.size()),
                fmt::format("at most {}", kLongest));
  }
  if (!std::ranges::all_of(identifier, [](char c) { return c > ' ' && c < 0x7f && c != '/'; })) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, "",
                "has a character that can't be part of a device's name",
                "use ASCII letters, digits, '-' and '_'");
  }
  return {};
}

}  // namespace

Result<> VirtioBlockDeviceConfiguration::validate_block_device_identifier(std::string_view identifier) {
  return validate_identifier(identifier);
}

Result<> NVMExpressControllerDeviceConfiguration::validate_serial_number(std::string_view serial_number) {
  return validate_identifier(serial_number);
}

Result<> NetworkBlockDeviceStorageDeviceAttachment::validate_url(std::string_view url) {
  const auto refuse = [&](std::string what, std::string hint) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, "", fmt::format("\"{}\" {}", url, what),
                std::move(hint));
  };
  const size_t colon = url.find("://");
  const std::string_view scheme = url.substr(0, colon);
  if (colon == std::string_view::npos ||
      (scheme != "nbd" && scheme != "nbds" && scheme != "nbd+unix" && scheme != "nbds+unix")) {
    return refuse("is not a URL of a network block device",
                  "nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket=PATH, or nbds for TLS");
  }
  if (!std::ranges::all_of(url, [](char c) { return c > ' ' && c < 0x7f; }))
    return refuse("has a character that no URL can have", "write it as % and two hexadecimal digits");
  const std::string_view rest = url.substr(colon + 3);
  if (scheme.ends_with("+unix")) {
    if (rest.find("socket=") == std::string_view::npos || rest.find('?') == std::string_view::npos)
      return refuse("names no socket", "end it with ?socket=PATH");
  } else if (rest.empty() || rest.front() == '/' || rest.front() == '?') {
    return refuse("names no host", "nbd://HOST[:PORT]/EXPORT");
  }
  return {};
}

namespace config {
namespace {

constexpr uint32_t kLongestTimeout = 3600;
constexpr uint64_t kSectorSize = 512;
constexpr std::string_view kQcow2Magic = "QFI\xfb";
constexpr uint16_t kMostQueues = 64;

// Formats that people have at hand. Served as raw they would show the guest rubbish, and it would destroy
// them.
struct Format {
  std::string_view magic;
  std::string_view name;
};
constexpr std::array kFormats = {
    Format{"KDMV", "VMDK"},
    Format{"# Disk DescriptorFile", "VMDK"},
    Format{"vhdxfile", "VHDX"},
    Format{"conectix", "VHD"},
    Format{"<<< Oracle VM VirtualBox Disk Image >>>", "VDI"},
    Format{"\x1f\x8b", "gzip"},
    Format{"\xfd"
           "7zXZ",
           "xz"},
    Format{"\x28\xb5\x2f\xfd", "Zstandard"},
};

// The first bytes; fewer if there are none.
std::string beginning(const std::filesystem::path& path) {
  UniqueFd image(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  std::string start(64, '\0');
  const ssize_t count = image ? ::pread(image.get(), start.data(), start.size(), 0) : 0;
  start.resize(count > 0 ? static_cast<size_t>(count) : 0);
  return start;
}

std::string_view foreign_format(std::string_view text) {
  for (const Format& format : kFormats) {
    if (text.starts_with(format.magic)) return format.name;
  }
  return {};
}

class StorageValidator {
 public:
  explicit StorageValidator(Problems& problems) : problems_(problems) {}

  void validate(const DiskImageStorageDeviceAttachment& image, const std::string& attachment) {
    const std::string where = attachment + ".path";
    struct stat status{};
    if (image.path.empty()) return problems_.add(where, "is not set", "name a disk image");
    if (::stat(image.path.c_str(), &status) != 0) {
      return problems_.add(
          where, fmt::format("can't find the disk image {}: {}", image.path.string(), std::strerror(errno)),
          errno == ENOENT ? "create it, e.g. with `truncate -s 10G`" : "");
    }
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
      return problems_.add(where, fmt::format("{} is neither a file nor a block device", image.path.string()),
                           "name a disk image or a block device", ErrorCode::invalid_disk_image);
    }
    if (::access(image.path.c_str(), image.read_only ? R_OK : R_OK | W_OK) != 0) {
      return problems_.add(where,
                           fmt::format("can't {} {}: {}", image.read_only ? "read" : "write",
                                       image.path.string(), std::strerror(errno)),
                           image.read_only ? "" : "set read_only if the guest need not write");
    }
    const bool is_qcow2 = check_contents(image.path, image.format, status, where);
    check_shared(image.path, image.read_only, status, where);
    if (image.base_layers.empty()) return;
    if (!is_qcow2) {
      problems_.add(attachment + ".base_layers", fmt::format("{} is a raw image", image.path.string()),
                    "only a qcow2 image can lie on others", ErrorCode::invalid_disk_image);
    }
    bool has_cache = false;
    for (size_t index = 0; index < image.base_layers.size(); ++index) {
      const std::string field = fmt::format("{}.base_layers[{}]", attachment, index);
      if (!image.base_layers[index].is_cache) {
        validate_layer(image.base_layers[index], index == 0, field);
        continue;
      }
      validate_cache(image.base_layers[index], field);
      if (index == 0)
        problems_.add(field + ".is_cache", "there is no image below it", "put it above the slow one");
      if (std::exchange(has_cache, true))
        problems_.add(field + ".is_cache", "there is another cache below it", "one is enough");
    }
  }

  void validate(const NetworkBlockDeviceStorageDeviceAttachment& device, const std::string& attachment) {
    if (auto valid = device.validate_url(device.url); !valid)
      problems_.add(attachment + ".url", valid.error().what, valid.error().hint);
    if (device.timeout == 0 || device.timeout > kLongestTimeout) {
      problems_.add(attachment + ".timeout", fmt::format("can't be {} seconds", device.timeout),
                    fmt::format("1 to {}", kLongestTimeout));
    }
  }

  void validate(const DiskBlockDeviceStorageDeviceAttachment& device, const std::string& attachment) {
    const std::string where = attachment + ".file_handle";
    struct stat status{};
    const int flags = ::fcntl(device.file_handle, F_GETFL);
    if (flags == -1 || ::fstat(device.file_handle, &status) != 0)
      return problems_.add(where, fmt::format("{} is not an open file descriptor", device.file_handle));
    if (!S_ISBLK(status.st_mode) && !S_ISREG(status.st_mode)) {
      return problems_.add(
          where, fmt::format("file descriptor {} is neither a block device nor a file", device.file_handle));
    }
    const int mode = flags & O_ACCMODE;
    if (mode == O_WRONLY || (mode == O_RDONLY && !device.read_only)) {
      problems_.add(where,
                    fmt::format("file descriptor {} is not open for {}", device.file_handle,
                                mode == O_WRONLY ? "reading" : "writing"),
                    mode == O_WRONLY ? "" : "set read_only if the guest need not write");
    }
  }

 private:
  // Whether it is a qcow2 image.
  bool check_contents(const std::filesystem::path& path, DiskImageFormat format, const struct stat& status,
                      const std::string& where) {
    const std::string start = beginning(path);
    const bool looks_so = start.starts_with(kQcow2Magic);
    if (format == DiskImageFormat::qcow2 && !looks_so) {
      problems_.add(where, fmt::format("{} is no qcow2 image", path.string()),
                    "make one with `alcove disk create`", ErrorCode::invalid_disk_image);
    }
    if (format == DiskImageFormat::qcow2 || (format == DiskImageFormat::automatic && looks_so)) return true;
    const auto size = static_cast<uint64_t>(status.st_size);
    if (S_ISREG(status.st_mode) && (size == 0 || size % kSectorSize != 0)) {
      problems_.add(
          where, fmt::format("{} has {} bytes, which is no multiple of {}", path.string(), size, kSectorSize),
          size == 0 ? "enlarge it, e.g. with `truncate -s 10G`" : "raw images hold whole sectors",
          ErrorCode::invalid_disk_image);
    }
    if (format == DiskImageFormat::raw) return false;
    if (std::string_view foreign = foreign_format(start); !foreign.empty()) {
      problems_.add(where, fmt::format("{} is in the format {}", path.string(), foreign),
                    "convert it to a raw or qcow2 image", ErrorCode::invalid_disk_image);
    }
    return false;
  }

  void validate_layer(const DiskImageLayer& layer, bool is_lowest, const std::string& field) {
    const std::string where = field + ".path";
    struct stat status{};
    if (layer.path.empty()) return problems_.add(where, "is not set", "name a disk image");
    if (::stat(layer.path.c_str(), &status) != 0 || ::access(layer.path.c_str(), R_OK) != 0) {
      return problems_.add(where,
                           fmt::format("can't read {}: {}", layer.path.string(), std::strerror(errno)));
    }
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
      return problems_.add(where, fmt::format("{} is neither a file nor a block device", layer.path.string()),
                           "name a disk image or a block device", ErrorCode::invalid_disk_image);
    }
    if (!check_contents(layer.path, layer.format, status, where) && !is_lowest) {
      problems_.add(where, fmt::format("{} is a raw image, and lies on another", layer.path.string()),
                    "only the lowest layer can be raw", ErrorCode::invalid_disk_image);
    }
    check_shared(layer.path, true, status, where);
  }

  // It need not be there yet.
  void validate_cache(const DiskImageLayer& layer, const std::string& field) {
    const std::string where = field + ".path";
    struct stat status{};
    if (layer.path.empty()) return problems_.add(where, "is not set", "name a file, which need not be there");
    if (layer.format != DiskImageFormat::automatic)
      problems_.add(field + ".format", "is set, and a cache has one of its own", "leave it out");
    if (::stat(layer.path.c_str(), &status) != 0) return;
    if (!S_ISREG(status.st_mode)) {
      return problems_.add(where, fmt::format("{} is no file", layer.path.string()), "name a file",
                           ErrorCode::invalid_disk_image);
    }
    check_shared(layer.path, false, status, where);
  }

  // The same file may back several disks only if none is written.
  void check_shared(const std::filesystem::path& path, bool read_only, const struct stat& status,
                    const std::string& where) {
    const auto identity = S_ISBLK(status.st_mode)
                              ? std::pair<uint64_t, uint64_t>(status.st_rdev, 0)
                              : std::pair<uint64_t, uint64_t>(status.st_dev, status.st_ino);
    const auto [other, is_first] = users_.try_emplace(identity, User{where, read_only});
    if (is_first || (other->second.read_only && read_only)) return;
    problems_.add(where, fmt::format("{} is also used by {}", path.string(), other->second.where),
                  "two disks can share an image only if both are read_only");
  }

  struct User {
    std::string where;
    bool read_only;
  };
  Problems& problems_;
  std::map<std::pair<uint64_t, uint64_t>, User> users_;
};

std::string member_of(const std::string& where, const char* name) {
  return where.empty() ? name : fmt::format("{}.{}", where, name);
}

void validate_device(const VirtioBlockDeviceConfiguration& device, const std::string& where,
                     Problems& problems) {
  if (auto valid = device.validate_block_device_identifier(device.block_device_identifier); !valid)
    problems.add(member_of(where, "block_device_identifier"), valid.error().what, valid.error().hint);
  if (device.queue_count > kMostQueues) {
    problems.add(member_of(where, "queue_count"),
                 fmt::format("a disk can't have {} queues", device.queue_count),
                 fmt::format("1 to {}, or 0 for a fitting number", kMostQueues));
  }
}

void validate_device(const NVMExpressControllerDeviceConfiguration& device, const std::string& where,
                     Problems& problems) {
  if (auto valid = device.validate_serial_number(device.serial_number); !valid)
    problems.add(member_of(where, "serial_number"), valid.error().what, valid.error().hint);
}

void validate_device(const USBMassStorageDeviceConfiguration&, const std::string&, Problems&) {}

}  // namespace

void validate_storage(const VirtualMachineConfiguration& configuration, Problems& problems) {
  StorageValidator validator(problems);
  const auto validate_image = [&](const StorageDeviceAttachment& attachment, const std::string& where) {
    std::visit([&](const auto& backing) { validator.validate(backing, where + ".attachment"); }, attachment);
  };
  for (size_t index = 0; index < configuration.storage_devices.size(); ++index) {
    const std::string where = fmt::format("storage_devices[{}]", index);
    std::visit(
        [&](const auto& device) {
          validate_device(device, where, problems);
          validate_image(device.attachment, where);
        },
        configuration.storage_devices[index]);
  }
  for (size_t index = 0; index < configuration.usb_controllers.size(); ++index) {
    const auto& devices =
        std::get<XHCIControllerConfiguration>(configuration.usb_controllers[index]).usb_devices;
    for (size_t device = 0; device < devices.size(); ++device) {
      validate_image(std::get<USBMassStorageDeviceConfiguration>(devices[device]).attachment,
                     fmt::format("usb_controllers[{}].usb_devices[{}]", index, device));
    }
  }
}

std::vector<Error> validate_usb_device(const USBDeviceConfiguration& device) {
  Problems problems;
  const auto& attachment = std::get<USBMassStorageDeviceConfiguration>(device).attachment;
  std::visit([&](const auto& backing) { StorageValidator(problems).validate(backing, "attachment"); },
             attachment);
  return problems.take();
}

std::vector<Error> validate_storage_device(const StorageDeviceConfiguration& device) {
  Problems problems;
  std::visit(
      [&](const auto& kind) {
        validate_device(kind, "", problems);
        std::visit([&](const auto& backing) { StorageValidator(problems).validate(backing, "attachment"); },
                   kind.attachment);
      },
      device);
  return problems.take();
}

}  // namespace config
}  // namespace alcove
