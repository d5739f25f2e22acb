#include "client/storage_device.h"

#include <fmt/format.h>

#include <utility>

#include "control/messages.h"

namespace alcove::client {

using control::Json;

namespace {

constexpr uint64_t kSector = 512;

StorageDeviceLimits configured_limits(const StorageDeviceConfiguration& configuration) {
  return std::visit([](const auto& device) { return device.limits; }, configuration);
}

}  // namespace

StorageDeviceProxy::StorageDeviceProxy(DeviceRequests& requests, size_t index,
                                       StorageDeviceConfiguration configuration)
    : requests_(requests), index_(index), configuration_(std::move(configuration)) {
  reset();
}

StorageDeviceLimits StorageDeviceProxy::limits() const {
  const std::lock_guard lock(mutex_);
  return limits_;
}

void StorageDeviceProxy::reset() {
  const std::lock_guard lock(mutex_);
  limits_ = configured_limits(configuration_);
}

void StorageDeviceProxy::set_limits(StorageDeviceLimits limits, Completion<> completion) {
  requests_.request_for_device(
      {{"request", "set_storage_limits"},
       {"device", index_},
       {"bytes_per_second", limits.bytes_per_second},
       {"operations_per_second", limits.operations_per_second}},
      [this, limits, completion = std::move(completion)](Result<Json> reply) mutable {
        if (!reply) return completion(std::unexpected(std::move(reply.error())));
        {
          const std::lock_guard lock(mutex_);
          limits_ = limits;
        }
        completion({});
      });
}

void StorageDeviceProxy::resize(uint64_t size, Completion<> completion) {
  if (size == 0 || size % kSector) {
    return requests_.refuse(std::move(completion),
                            {ErrorCode::invalid_disk_image, fmt::format("storage_devices[{}]", index_),
                             fmt::format("a disk can't have {} bytes", size), "a multiple of 512"});
  }
  requests_.request_for_device({{"request", "resize_storage"}, {"device", index_}, {"size", size}},
                               [completion = std::move(completion)](Result<Json> reply) mutable {
                                 if (!reply) return completion(std::unexpected(std::move(reply.error())));
                                 completion({});
                               });
}

void StorageDeviceProxy::statistics(Completion<StorageDeviceStatistics> completion) {
  requests_.request_for_device(
      {{"request", "storage_statistics"}, {"device", index_}},
      [completion = std::move(completion)](Result<Json> reply) mutable {
        if (!reply) return completion(std::unexpected(std::move(reply.error())));
        completion(control::storage_statistics_from_json(control::member_of(*reply, "statistics")));
      });
}

}  // namespace alcove::client
