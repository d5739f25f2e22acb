#include "machine/disks.h"

#include "storage/stack.h"

namespace alcove::machine {

Result<std::unique_ptr<storage::Disk>> open_disk(const StorageDeviceAttachment& attachment,
                                                 std::vector<UniqueFd> files, const std::string& field) {
  const auto& image = std::get<DiskImageStorageDeviceAttachment>(attachment);
  if (files.empty()) return fail(ErrorCode::invalid_virtual_machine_configuration, field, "is not open");
  std::vector<storage::StackLayer> layers;
  for (UniqueFd& file : files) layers.push_back({.fd = std::move(file)});
  layers.front().format = image.format;
  // The configuration has them from the lowest up.
  const size_t count = image.base_layers.size();
  for (size_t index = 0; index < count && index + 1 < layers.size(); ++index)
    layers[index + 1].format = image.base_layers[count - 1 - index].format;
  return storage::open_stack(std::move(layers),
                             {.read_only = image.read_only,
                              .caching = image.caching_mode,
                              .synchronization = image.synchronization_mode},
                             field);
}

}  // namespace alcove::machine
