#include "client/storage_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "client/host_files.h"
#include "config/validate.h"
#include "control/messages.h"

namespace alcove::client {

using control::Json;

namespace {

constexpr uint64_t kSector = 512;

StorageDeviceLimits configured_limits(const StorageDeviceConfiguration& configuration) {
  return std::visit([](const auto& device) { return device.limits; }, configuration);
}

}  // namespace

StorageDeviceProxy::StorageDeviceProxy(DeviceRequests& requests, size_t number,
                                       StorageDeviceConfiguration configuration)
    : requests_(requests), number_(number), configuration_(std::move(configuration)) {
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

void StorageDeviceProxy::request(Json request, Handler handler) {
  if (!is_detached_) return requests_.request_for_device(std::move(request), std::move(handler));
  requests_.post_for_device([handler = std::move(handler), number = number_]() mutable {
    handler(fail(ErrorCode::not_supported, fmt::format("storage_devices[{}]", number), "has been detached"));
  });
}

void StorageDeviceProxy::set_limits(StorageDeviceLimits limits, Completion<> completion) {
  request({{"request", "set_storage_limits"},
           {"device", number_},
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
                            {ErrorCode::invalid_disk_image, fmt::format("storage_devices[{}]", number_),
                             fmt::format("a disk can't have {} bytes", size), "a multiple of 512"});
  }
  request({{"request", "resize_storage"}, {"device", number_}, {"size", size}},
          [completion = std::move(completion)](Result<Json> reply) mutable {
            if (!reply) return completion(std::unexpected(std::move(reply.error())));
            completion({});
          });
}

void StorageDeviceProxy::statistics(Completion<StorageDeviceStatistics> completion) {
  request({{"request", "storage_statistics"}, {"device", number_}},
          [completion = std::move(completion)](Result<Json> reply) mutable {
            if (!reply) return completion(std::unexpected(std::move(reply.error())));
            completion(control::storage_statistics_from_json(control::member_of(*reply, "statistics")));
          });
}

StorageDevices::StorageDevices(DeviceRequests& requests,
                               const std::vector<StorageDeviceConfiguration>& configured)
    : requests_(requests), configured_count_(configured.size()) {
  for (const auto& device : configured)
    devices_.push_back(std::make_shared<StorageDeviceProxy>(requests, devices_.size(), device));
}

std::vector<std::shared_ptr<StorageDevice>> StorageDevices::all() const {
  const std::lock_guard lock(mutex_);
  return {devices_.begin(), devices_.end()};
}

std::shared_ptr<StorageDeviceProxy> StorageDevices::find(size_t number) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(devices_, number, &StorageDeviceProxy::number);
  return found == devices_.end() ? nullptr : *found;
}

std::shared_ptr<StorageDeviceProxy> StorageDevices::detached(size_t number) {
  auto device = find(number);
  if (!device || number < configured_count_) return nullptr;
  device->detach();
  const std::lock_guard lock(mutex_);
  std::erase(devices_, device);
  return device;
}

void StorageDevices::reset() {
  const std::lock_guard lock(mutex_);
  for (size_t index = configured_count_; index < devices_.size(); ++index) devices_[index]->detach();
  devices_.resize(configured_count_);
  for (const auto& device : devices_) device->reset();
}

void StorageDevices::attach(StorageDeviceConfiguration configuration,
                            Completion<std::shared_ptr<StorageDevice>> completion) {
  const auto refuse = [&](Error error) { requests_.refuse(std::move(completion), std::move(error)); };
  if (std::holds_alternative<USBMassStorageDeviceConfiguration>(configuration)) {
    return refuse({ErrorCode::not_supported, "", "a USB disk is plugged into a USB controller",
                   "use USBController::attach()"});
  }
  if (auto problems = config::validate_storage_device(configuration); !problems.empty())
    return refuse(std::move(problems.front()));
  auto image = std::visit([](const auto& device) { return open_attachment(device.attachment, "attachment"); },
                          configuration);
  if (!image) return refuse(std::move(image.error()));
  Json request = {{"request", "attach_storage"}, {"device", config::to_tree(configuration)}};
  requests_.request_for_device(
      std::move(request),
      [this, configuration = std::move(configuration),
       completion = std::move(completion)](Result<Json> reply) mutable {
        if (!reply) return completion(std::unexpected(std::move(reply.error())));
        const auto number = control::number_of(*reply, "device");
        if (!number || *number < configured_count_ || find(*number))
          return completion(fail(ErrorCode::internal, "", "the machine gave the disk an impossible number"));
        auto device = std::make_shared<StorageDeviceProxy>(requests_, *number, std::move(configuration));
        {
          const std::lock_guard lock(mutex_);
          devices_.push_back(device);
        }
        completion(std::move(device));
      },
      *std::move(image));
}

void StorageDevices::detach(const std::shared_ptr<StorageDevice>& device,
                            const StorageDeviceDetachOptions& options, Completion<> completion) {
  if (!device || find(device->number()) != device) {
    return requests_.refuse(std::move(completion),
                            Error{ErrorCode::not_supported, "device", "is not one of this machine's disks",
                                  "it may have been detached already"});
  }
  if (device->number() < configured_count_) {
    return requests_.refuse(
        std::move(completion),
        Error{ErrorCode::not_supported, fmt::format("storage_devices[{}]", device->number()),
              "is part of the machine's configuration, and can't be detached while it runs",
              "stop the machine and change its configuration"});
  }
  const auto timeout = static_cast<uint64_t>(std::max<int64_t>(options.timeout.count(), 0));
  requests_.request_for_device(
      {{"request", "detach_storage"},
       {"device", device->number()},
       {"timeout", timeout},
       {"force", options.force}},
      [completion = std::move(completion)](const Result<Json>& reply) mutable {
        // What was to be detached is gone with the machine, too.
        if (reply || reply.error().code == ErrorCode::invalid_virtual_machine_state_transition)
          return completion({});
        completion(std::unexpected(reply.error()));
      });
}

}  // namespace alcove::client
