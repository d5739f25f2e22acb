// --disk, --nvme and --usb-disk: an image or a URL, and its options.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <optional>
#include <span>

#include "cli/machine_options.h"
#include "cli/option_text.h"

namespace alcove::cli {

namespace {

// One of the options that all disks have, if it is one.
bool add_limit(const std::string& key, const std::string& value, StorageDeviceLimits& limits) {
  if (key == "bytes-per-second") {
    const auto size = parse_size(value);
    if (size) limits.bytes_per_second = *size;
    return size.has_value();
  }
  if (key != "operations-per-second" || !whole_number(value).empty()) return false;
  limits.operations_per_second = std::stoul(value);
  return true;
}

bool add_image_option(const std::string& key, const std::string& value,
                      DiskImageStorageDeviceAttachment& image) {
  if (key == "readonly" && value.empty()) {
    image.read_only = true;
  } else if (key == "caching" && from_string<DiskImageCachingMode>(value)) {
    image.caching_mode = *from_string<DiskImageCachingMode>(value);
  } else if (key == "sync" && from_string<DiskImageSynchronizationMode>(value)) {
    image.synchronization_mode = *from_string<DiskImageSynchronizationMode>(value);
  } else if (key == "format" && from_string<DiskImageFormat>(value)) {
    image.format = *from_string<DiskImageFormat>(value);
  } else if (key == "backing" && value.empty()) {
    image.allow_backing_files = true;
  } else if (key == "base" && !value.empty()) {
    image.base_layers.push_back({.path = value});
  } else if (key == "cache-file" && !value.empty()) {
    image.base_layers.push_back({.path = value, .is_cache = true});
  } else {
    return false;
  }
  return true;
}

bool add_network_option(const std::string& key, const std::string& value,
                        NetworkBlockDeviceStorageDeviceAttachment& device) {
  if (key == "readonly" && value.empty()) {
    device.forced_read_only = true;
  } else if (key == "timeout" && whole_number(value).empty()) {
    device.timeout = static_cast<uint32_t>(std::stoul(value));
  } else if (key == "sync" && from_string<DiskImageSynchronizationMode>(value)) {
    device.synchronization_mode = *from_string<DiskImageSynchronizationMode>(value);
  } else {
    return false;
  }
  return true;
}

bool is_url(const std::string& text) {
  return text.starts_with("nbd") && text.find("://") != std::string::npos;
}

struct Kind {
  std::string option;   // --disk
  std::string name;     // "a disk"
  std::string choices;  // What it takes beyond what all do.
};

// `add` takes an option of this kind of device alone, and says whether it was one.
template <class Device, class Add>
Result<> parse(const Kind& kind, const std::string& text, Device& device, Add add) {
  const std::vector<std::string> parts = split(text);
  const bool is_network = is_url(parts[0]);
  DiskImageStorageDeviceAttachment image{.path = parts[0]};
  NetworkBlockDeviceStorageDeviceAttachment network{.url = parts[0]};
  if (is_network) {
    if (auto valid = network.validate_url(parts[0]); !valid)
      return usage(kind.option, valid.error().what, valid.error().hint);
  }
  for (const std::string& part : std::span(parts).subspan(1)) {
    const auto [key, value] = key_and_value(part);
    const bool is_known =
        add(key, value) || add_limit(key, value, device.limits) ||
        (is_network ? add_network_option(key, value, network) : add_image_option(key, value, image));
    if (is_known) continue;
    return usage(
        kind.option,
        fmt::format("'{}' is not an option of {}", part, is_network ? "a network block device" : kind.name),
        fmt::format("use readonly, {}sync=full|fsync|none, bytes-per-second=SIZE, "
                    "operations-per-second=N or {}",
                    is_network ? "timeout=SECONDS, "
                               : "format=auto|raw|qcow2, backing, base=FILE, cache-file=FILE, "
                                 "caching=auto|cached|uncached, ",
                    kind.choices));
  }
  if (is_network) {
    device.attachment = std::move(network);
  } else {
    device.attachment = std::move(image);
  }
  return {};
}

// Takes the option that names the disk to the guest.
auto naming(const char* option, std::string& name) {
  return [option, &name](const std::string& key, const std::string& value) {
    if (key != option) return false;
    name = value;
    return true;
  };
}

}  // namespace

Result<StorageDeviceConfiguration> parse_disk(const std::string& option, const std::string& text) {
  VirtioBlockDeviceConfiguration device;
  auto parsed =
      parse({option, "a disk", "id=NAME"}, text, device, naming("id", device.block_device_identifier));
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  return device;
}

Result<StorageDeviceConfiguration> parse_nvme(const std::string& option, const std::string& text) {
  NVMExpressControllerDeviceConfiguration device;
  auto parsed =
      parse({option, "a disk", "serial=NAME"}, text, device, naming("serial", device.serial_number));
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  return device;
}

Result<USBMassStorageDeviceConfiguration> parse_usb_disk(const std::string& option, const std::string& text) {
  USBMassStorageDeviceConfiguration device;
  auto parsed = parse({option, "a USB disk", "cdrom, uas=on|off"}, text, device,
                      [&](const std::string& key, const std::string& value) {
                        if (key == "cdrom" && value.empty()) {
                          device.optical_disc = true;
                        } else if (key == "uas" && (value == "on" || value == "off")) {
                          device.attached_scsi = value == "on";
                        } else {
                          return false;
                        }
                        return true;
                      });
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  if (device.optical_disc) {
    if (auto* image = std::get_if<DiskImageStorageDeviceAttachment>(&device.attachment))
      image->read_only = true;
    else
      std::get<NetworkBlockDeviceStorageDeviceAttachment>(device.attachment).forced_read_only = true;
  }
  return device;
}

std::string with_absolute_paths(const std::string& disk) {
  std::vector<std::string> parts = split(disk);
  if (!is_url(parts[0])) parts[0] = std::filesystem::absolute(parts[0]).string();
  for (std::string& part : std::span(parts).subspan(1)) {
    const auto [key, value] = key_and_value(part);
    if (!value.empty() && (key == "base" || key == "cache-file"))
      part = fmt::format("{}={}", key, std::filesystem::absolute(value).string());
  }
  return fmt::format("{}", fmt::join(parts, ","));
}

}  // namespace alcove::cli
