#include "machine/automount.h"

#include <fmt/format.h>

namespace alcove::machine {

namespace {

constexpr const char* kDefaultPlace = "/mnt/shared";

struct Mount {
  std::string tag;
  std::string place;
};

std::vector<Mount> mounts_of(const VirtualMachineConfiguration& configuration) {
  std::vector<Mount> mounts;
  for (const auto& device : configuration.directory_sharing_devices) {
    const auto& shared = std::get<VirtioFileSystemDeviceConfiguration>(device);
    if (!shared.mount_point.empty()) {
      mounts.push_back({shared.tag, shared.mount_point});
    } else if (shared.tag == VirtioFileSystemDeviceConfiguration::kAutomountTag) {
      mounts.push_back({shared.tag, kDefaultPlace});
    }
  }
  return mounts;
}

}  // namespace

std::string automount_parameters(const VirtualMachineConfiguration& configuration) {
  std::string parameters;
  for (const Mount& mount : mounts_of(configuration))
    parameters += fmt::format(" systemd.mount-extra={}:{}:virtiofs:nofail", mount.tag, mount.place);
  return parameters;
}

std::vector<std::string> automount_strings(const VirtualMachineConfiguration& configuration) {
  if (configuration.boot_loader && std::holds_alternative<LinuxBootLoader>(*configuration.boot_loader))
    return {};
  std::string table;
  for (const Mount& mount : mounts_of(configuration))
    table += fmt::format("{}{} {} virtiofs nofail 0 0", table.empty() ? "" : "\n", mount.tag, mount.place);
  if (table.empty()) return {};
  return {"io.systemd.credential:fstab.extra=" + table};
}

}  // namespace alcove::machine
