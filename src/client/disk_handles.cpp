#include "client/disk_handles.h"

#include <fmt/format.h>

#include <string>

#include "client/line_files.h"

namespace alcove::client {
namespace {

// Calls function(handle, where) for each, always in the same order.
template <class Configuration, class Function>
void for_each_handle(Configuration& configuration, Function function) {
  const auto visit = [&](auto& attachment, const std::string& where) {
    if (auto* device = std::get_if<DiskBlockDeviceStorageDeviceAttachment>(&attachment))
      function(device->file_handle, where + ".attachment.file_handle");
  };
  for (size_t index = 0; index < configuration.storage_devices.size(); ++index) {
    std::visit([&](auto& device) { visit(device.attachment, fmt::format("storage_devices[{}]", index)); },
               configuration.storage_devices[index]);
  }
  for (size_t index = 0; index < configuration.usb_controllers.size(); ++index) {
    auto& devices = std::get<XHCIControllerConfiguration>(configuration.usb_controllers[index]).usb_devices;
    for (size_t device = 0; device < devices.size(); ++device) {
      visit(std::get<USBMassStorageDeviceConfiguration>(devices[device]).attachment,
            fmt::format("usb_controllers[{}].usb_devices[{}]", index, device));
    }
  }
}

}  // namespace

Result<std::vector<UniqueFd>> duplicate_disk_handles(const VirtualMachineConfiguration& configuration) {
  std::vector<UniqueFd> copies;
  Result<> result;
  for_each_handle(configuration, [&](int handle, const std::string& where) {
    if (!result) return;
    auto copy = duplicate(handle, where);
    if (!copy) {
      result = std::unexpected(std::move(copy.error()));
    } else {
      copies.push_back(*std::move(copy));
    }
  });
  if (!result) return std::unexpected(std::move(result.error()));
  return copies;
}

void use_disk_handles(VirtualMachineConfiguration& configuration, const std::vector<UniqueFd>& handles) {
  size_t next = 0;
  for_each_handle(configuration, [&](int& handle, const std::string&) { handle = handles[next++].get(); });
}

}  // namespace alcove::client
