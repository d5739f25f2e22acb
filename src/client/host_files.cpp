#include "client/host_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "client/efi_variable_store.h"
#include "client/image_lock.h"
#include "client/sound_files.h"
#include "config/efi_firmware.h"

namespace alcove::client {
namespace {

std::unexpected<Error> cannot_open(std::string where, const std::filesystem::path& path,
                                   std::string hint = {},
                                   ErrorCode code = ErrorCode::invalid_virtual_machine_configuration) {
  return fail(code, std::move(where), fmt::format("can't open {}: {}", path.string(), std::strerror(errno)),
              std::move(hint));
}

class Opener {
 public:
  explicit Opener(machine::Descriptors& descriptors) : descriptors_(descriptors) {}

  Result<> open(const LinuxBootLoader& loader) {
    if (auto opened = open_for_reading(loader.kernel, "boot_loader.kernel"); !opened) return opened;
    if (loader.initial_ramdisk.empty()) return {};
    return open_for_reading(loader.initial_ramdisk, "boot_loader.initial_ramdisk");
  }

  Result<> open(const EFIBootLoader& loader) {
    const auto firmware = config::find_efi_firmware(loader.firmware);
    if (!firmware) return locate(firmware.error(), "boot_loader.firmware");
    if (auto opened = open_for_reading(firmware->code, "boot_loader.firmware"); !opened) return opened;
    if (auto opened = open_variables(loader, *firmware); !opened) return opened;
    const char* log = std::getenv("ALCOVE_FIRMWARE_LOG");
    if (!log || !*log) return {};
    UniqueFd descriptor(::open(log, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC, 0666));
    if (!descriptor) return cannot_open("ALCOVE_FIRMWARE_LOG", log);
    descriptors_.add("boot_loader.firmware_log", std::move(descriptor));
    return {};
  }

  Result<> open(const DiskImageStorageDeviceAttachment& image, const std::string& where) {
    auto layers = open_disk_image(image, where);
    if (!layers) return std::unexpected(std::move(layers.error()));
    for (size_t index = 0; index < layers->size(); ++index)
      descriptors_.add(machine::layer_path(where, index), std::move((*layers)[index]));
    return {};
  }

  // The machine's process connects itself.
  Result<> open(const NetworkBlockDeviceStorageDeviceAttachment&, const std::string&) { return {}; }

  Result<> open(const DiskBlockDeviceStorageDeviceAttachment& device, const std::string& where) {
    auto copy = duplicate(device.file_handle, where + ".file_handle");
    if (!copy) return std::unexpected(std::move(copy.error()));
    descriptors_.add(machine::layer_path(where, 0), *std::move(copy));
    return {};
  }

  Result<> open_kvm(HypervisorChoice choice) {
    if (choice == HypervisorChoice::soft) return {};
    UniqueFd descriptor(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    if (descriptor) {
      descriptors_.add("hypervisor.kvm", std::move(descriptor));
    } else if (choice == HypervisorChoice::kvm) {
      return cannot_open("hypervisor", "/dev/kvm", "choose \"auto\", or see `alcove doctor`",
                         ErrorCode::not_supported);
    }
    return {};
  }

  Result<> open(const DirectoryShare& share, const std::string& where) {
    auto folders = open_share(share, where);
    if (!folders) return std::unexpected(std::move(folders.error()));
    for (auto& [path, folder] : *folders) descriptors_.add(path, std::move(folder));
    return {};
  }

  Result<> add_copy(int descriptor, const std::string& where) {
    auto copy = duplicate(descriptor, where);
    if (!copy) return std::unexpected(std::move(copy.error()));
    descriptors_.add(where, *std::move(copy));
    return {};
  }

 private:
  static std::unexpected<Error> locate(Error error, std::string where) {
    error.where = std::move(where);
    return std::unexpected(std::move(error));
  }

  Result<> open_variables(const EFIBootLoader& loader, const config::EfiFirmware& firmware) {
    constexpr auto kStore = "boot_loader.variable_store";
    const std::filesystem::path& path = loader.variable_store.path;
    if (path.empty()) {
      auto store = temporary_variable_store(loader.firmware);
      if (!store) return locate(store.error(), kStore);
      descriptors_.add(kStore, *std::move(store));
      return {};
    }
    const std::string where = fmt::format("{}.path", kStore);
    UniqueFd descriptor(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!descriptor) return cannot_open(where, path);
    if (auto locked = lock_image(descriptor.get(), true, path); !locked) return locate(locked.error(), where);
    const auto bytes = read_variable_store(descriptor.get());
    if (!bytes) {
      Error error = bytes.error();
      error.what = fmt::format("{} {}", path.string(), error.what);
      return locate(error, where);
    }
    std::error_code ignored;
    const auto expected = std::filesystem::file_size(firmware.variables, ignored);
    if (!ignored && expected != bytes->size()) {
      return fail(ErrorCode::invalid_virtual_machine_configuration, where,
                  fmt::format("{} has {} bytes, where {} keeps {}", path.string(), bytes->size(),
                              firmware.code.filename().string(), expected),
                  "name the firmware that it was made for, or make a new one");
    }
    descriptors_.add(kStore, std::move(descriptor));
    return {};
  }

  Result<> open_for_reading(const std::filesystem::path& path, const std::string& where) {
    UniqueFd descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!descriptor) return cannot_open(where, path);
    struct stat status{};
    if (::fstat(descriptor.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
      return fail(ErrorCode::invalid_virtual_machine_configuration, where,
                  fmt::format("{} is not a file", path.string()));
    }
    descriptors_.add(where, std::move(descriptor));
    return {};
  }

  machine::Descriptors& descriptors_;
};

const std::optional<SerialPortAttachment>& attachment_of(const SerialPortConfiguration& port) {
  return std::visit([](const auto& kind) -> auto& { return kind.attachment; }, port);
}

}  // namespace

Result<std::map<std::string, UniqueFd>> open_share(const DirectoryShare& share, const std::string& where) {
  std::map<std::string, UniqueFd> folders;
  const auto open_folder = [&](const SharedDirectory& directory, const std::string& field) -> Result<> {
    UniqueFd folder(::open(directory.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder) return cannot_open(field + ".path", directory.path);
    folders.emplace(field, std::move(folder));
    return {};
  };
  if (const auto* single = std::get_if<SingleDirectoryShare>(&share)) {
    if (auto opened = open_folder(single->directory, where + ".directory"); !opened)
      return std::unexpected(std::move(opened.error()));
    return folders;
  }
  for (const auto& [name, directory] : std::get<MultipleDirectoryShare>(share).directories) {
    if (auto opened = open_folder(directory, fmt::format("{}.directories.{}", where, name)); !opened)
      return std::unexpected(std::move(opened.error()));
  }
  return folders;
}

Result<std::vector<SerialPortFiles>> open_serial_ports(const VirtualMachineConfiguration& configuration) {
  std::vector<SerialPortFiles> ports;
  for (size_t index = 0; index < configuration.serial_ports.size(); ++index) {
    const std::string where = fmt::format("serial_ports[{}]", index);
    auto log = LogRing::create();
    if (!log) {
      log.error().where = where;
      return std::unexpected(std::move(log.error()));
    }
    auto line = make_line_files(console_attachment(attachment_of(configuration.serial_ports[index])),
                                where + ".attachment");
    if (!line) return std::unexpected(std::move(line.error()));
    ports.push_back({*std::move(line), *std::move(log)});
  }
  return ports;
}

Result<machine::Descriptors> open_host_files(const VirtualMachineConfiguration& configuration,
                                             const std::vector<SerialPortFiles>& serial_ports,
                                             const GraphicsFiles& displays) {
  machine::Descriptors descriptors;
  Opener opener(descriptors);
  Result<> opened;
  if (configuration.boot_loader) {
    opened = std::visit([&](const auto& loader) { return opener.open(loader); }, *configuration.boot_loader);
  }
  if (opened) opened = opener.open_kvm(configuration.hypervisor);
  for (size_t index = 0; opened && index < configuration.storage_devices.size(); ++index) {
    const auto& attachment = std::visit([](const auto& device) -> auto& { return device.attachment; },
                                        configuration.storage_devices[index]);
    const std::string where = fmt::format("storage_devices[{}].attachment", index);
    opened = std::visit([&](const auto& backing) { return opener.open(backing, where); }, attachment);
  }
  for (size_t index = 0; index < configuration.usb_controllers.size(); ++index) {
    const auto& devices =
        std::get<XHCIControllerConfiguration>(configuration.usb_controllers[index]).usb_devices;
    for (size_t device = 0; opened && device < devices.size(); ++device) {
      const std::string where = fmt::format("usb_controllers[{}].usb_devices[{}].attachment", index, device);
      opened = std::visit([&](const auto& backing) { return opener.open(backing, where); },
                          std::get<USBMassStorageDeviceConfiguration>(devices[device]).attachment);
    }
  }
  const auto& sharing = configuration.directory_sharing_devices;
  for (size_t index = 0; opened && index < sharing.size(); ++index) {
    const auto& share = std::get<VirtioFileSystemDeviceConfiguration>(sharing[index]).share;
    if (share) opened = opener.open(*share, fmt::format("directory_sharing_devices[{}].share", index));
  }
  for (size_t index = 0; opened && index < serial_ports.size(); ++index) {
    const std::string where = fmt::format("serial_ports[{}]", index);
    opened = opener.add_copy(serial_ports[index].log.descriptor(), where + ".log");
    if (!opened) break;
    opened = open_line(console_attachment(attachment_of(configuration.serial_ports[index])),
                       serial_ports[index], where + ".attachment", descriptors);
  }
  if (opened) opened = open_sound_files(configuration, descriptors);
  for (size_t device = 0; device < displays.size(); ++device) {
    for (size_t index = 0; opened && index < displays[device].size(); ++index) {
      const std::string where = fmt::format("graphics_devices[{}].scanouts[{}]", device, index);
      opened = opener.add_copy(displays[device][index]->memory().descriptor(), where + ".frames");
      if (opened) opened = opener.add_copy(displays[device][index]->changed(), where + ".changed");
    }
  }
  if (!opened) return std::unexpected(std::move(opened.error()));
  return descriptors;
}

}  // namespace alcove::client
