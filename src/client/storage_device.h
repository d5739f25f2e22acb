// A running machine's disks.
#pragma once

#include <alcove/virtual_machine.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "client/device_requests.h"

namespace alcove::client {

class StorageDeviceProxy final : public StorageDevice {
 public:
  StorageDeviceProxy(DeviceRequests& requests, size_t number, StorageDeviceConfiguration configuration);

  size_t number() const override { return number_; }
  const StorageDeviceConfiguration& configuration() const override { return configuration_; }
  StorageDeviceLimits limits() const override;
  void set_limits(StorageDeviceLimits limits, Completion<> completion) override;
  void resize(uint64_t size, Completion<> completion) override;
  void statistics(Completion<StorageDeviceStatistics> completion) override;

  void reset();
  // It is not there any more: nothing is asked of its number, which may be another's later.
  void detach() { is_detached_ = true; }

 private:
  using Handler = DeviceRequests::Handler;
  void request(config::Json request, Handler handler);

  DeviceRequests& requests_;
  const size_t number_;
  const StorageDeviceConfiguration configuration_;
  mutable std::mutex mutex_;  // Guards limits_.
  StorageDeviceLimits limits_;
  std::atomic<bool> is_detached_ = false;
};

// Those of the configuration, and those that were attached later.
class StorageDevices {
 public:
  StorageDevices(DeviceRequests& requests, const std::vector<StorageDeviceConfiguration>& configured);

  std::vector<std::shared_ptr<StorageDevice>> all() const;
  void attach(StorageDeviceConfiguration configuration,
              Completion<std::shared_ptr<StorageDevice>> completion);
  void detach(const std::shared_ptr<StorageDevice>& device, const StorageDeviceDetachOptions& options,
              Completion<> completion);

  // Null if there is none.
  std::shared_ptr<StorageDeviceProxy> find(size_t number) const;
  // The machine's process says that it is gone; null if there was none.
  std::shared_ptr<StorageDeviceProxy> detached(size_t number);
  // Another machine process, or none: as configured.
  void reset();

 private:
  DeviceRequests& requests_;
  const size_t configured_count_;
  mutable std::mutex mutex_;  // Guards devices_.
  std::vector<std::shared_ptr<StorageDeviceProxy>> devices_;
};

}  // namespace alcove::client
