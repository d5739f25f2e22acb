#include "machine/storage.h"

#include <fmt/format.h>

#include <utility>

namespace alcove::machine {

void Storage::add(std::shared_ptr<storage::DiskControl> disk, std::function<void()> size_changed) {
  devices_.push_back({std::move(disk), std::move(size_changed)});
}

Result<const Storage::Device*> Storage::find(size_t index) const {
  if (index < devices_.size()) return &devices_[index];
  return fail(ErrorCode::internal, fmt::format("storage_devices[{}]", index), "there is no such device");
}

Result<> Storage::set_limits(size_t index, const StorageDeviceLimits& limits) {
  const auto device = find(index);
  if (!device) return std::unexpected(device.error());
  (*device)->disk->set_limits(limits);
  return {};
}

Result<> Storage::resize(size_t index, uint64_t size) {
  const auto device = find(index);
  if (!device) return std::unexpected(device.error());
  const std::string where = fmt::format("storage_devices[{}]", index);
  if (!(*device)->size_changed) {
    return fail(ErrorCode::not_supported, where, "is a USB disk: its guest would not notice",
                "pull it out, resize its image, and plug it in again");
  }
  if (auto resized = (*device)->disk->resize(size, where); !resized) return resized;
  (*device)->size_changed();
  return {};
}

Result<StorageDeviceStatistics> Storage::statistics(size_t index) const {
  const auto device = find(index);
  if (!device) return std::unexpected(device.error());
  return (*device)->disk->statistics();
}

void Storage::set_rushing(bool rushing) {
  for (const Device& device : devices_) device.disk->set_rushing(rushing);
}

void Storage::abandon() {
  for (const Device& device : devices_) device.disk->abandon();
}

}  // namespace alcove::machine
