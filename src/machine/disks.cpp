#include "machine/disks.h"

#include "storage/nbd/nbd_disk.h"
#include "storage/stack.h"

namespace alcove::machine {

namespace {

Result<std::unique_ptr<storage::Disk>> open_attachment(const StorageDeviceAttachment& attachment,
                                                       std::vector<UniqueFd> files, const std::string& field,
                                                       const DiskEvents& events) {
  if (const auto* device = std::get_if<NetworkBlockDeviceStorageDeviceAttachment>(&attachment)) {
    auto disk = storage::NbdDisk::create({.url = device->url,
                                          .timeout = std::chrono::seconds(device->timeout),
                                          .forced_read_only = device->forced_read_only,
                                          .synchronization = device->synchronization_mode,
                                          .connected = events.connected,
                                          .failed = events.failed},
                                         field + ".url");
    if (!disk) return std::unexpected(std::move(disk.error()));
    return *std::move(disk);
  }
  if (files.empty()) return fail(ErrorCode::invalid_virtual_machine_configuration, field, "is not open");
  if (const auto* device = std::get_if<DiskBlockDeviceStorageDeviceAttachment>(&attachment)) {
    std::vector<storage::StackLayer> layers;
    layers.push_back({.fd = std::move(files.front()), .format = DiskImageFormat::raw});
    return storage::open_stack(
        std::move(layers), {.read_only = device->read_only, .synchronization = device->synchronization_mode},
        field);
  }
  const auto& image = std::get<DiskImageStorageDeviceAttachment>(attachment);
  return storage::open_stack(storage::layers_of(image, std::move(files)),
                             {.read_only = image.read_only,
                              .caching = image.caching_mode,
                              .synchronization = image.synchronization_mode},
                             field);
}

}  // namespace

Result<std::unique_ptr<storage::Disk>> open_disk(const StorageDeviceAttachment& attachment,
                                                 std::shared_ptr<storage::DiskControl> control,
                                                 std::vector<UniqueFd> files, const std::string& field,
                                                 const DiskEvents& events) {
  auto disk = open_attachment(attachment, std::move(files), field, events);
  if (!disk) return std::unexpected(std::move(disk.error()));
  return std::make_unique<storage::ManagedDisk>(*std::move(disk), std::move(control));
}

Result<OpenedDisk> open_disk(const StorageDeviceAttachment& attachment, const StorageDeviceLimits& limits,
                             std::vector<UniqueFd> files, const std::string& field,
                             const DiskEvents& events) {
  auto control = std::make_shared<storage::DiskControl>(limits);
  auto disk = open_disk(attachment, control, std::move(files), field, events);
  if (!disk) return std::unexpected(std::move(disk.error()));
  return OpenedDisk{*std::move(disk), std::move(control)};
}

}  // namespace alcove::machine
