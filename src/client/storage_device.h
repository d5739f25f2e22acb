// A running machine's disk, of storage_devices.
#pragma once

#include <alcove/devices.h>

#include <mutex>

#include "client/device_requests.h"

namespace alcove::client {

class StorageDeviceProxy final : public StorageDevice {
 public:
  StorageDeviceProxy(DeviceRequests& requests, size_t index, StorageDeviceConfiguration configuration);

  const StorageDeviceConfiguration& configuration() const override { return configuration_; }
  StorageDeviceLimits limits() const override;
  void set_limits(StorageDeviceLimits limits, Completion<> completion) override;
  void resize(uint64_t size, Completion<> completion) override;
  void statistics(Completion<StorageDeviceStatistics> completion) override;

  void reset();

 private:
  DeviceRequests& requests_;
  const size_t index_;
  const StorageDeviceConfiguration configuration_;
  mutable std::mutex mutex_;  // Guards limits_.
  StorageDeviceLimits limits_;
};

}  // namespace alcove::client
