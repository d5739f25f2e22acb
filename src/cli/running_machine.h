// A VirtualMachine whose completions are called on the thread of a poll() loop, and whose end is pollable
// too: whatever the machine's process does or fails to do, the loop goes on.
#pragma once

#include <alcove/alcove.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "support/unique_fd.h"

namespace alcove::cli {

class RunningMachine {
 public:
  using Done = std::function<void(Result<>)>;

  // Not started yet.
  static Result<std::unique_ptr<RunningMachine>> create(const VirtualMachineConfiguration& configuration);

  // Each `done` is called once, by call_back().
  void start(Done done);
  void pause(Done done);
  void resume(Done done);
  // Also where the machine hangs in another change of its state: then its process is killed.
  void stop(Done done);
  void attach_usb(const USBMassStorageDeviceConfiguration& device, Done done);
  // By the beginning of its uuid, or all of it.
  void detach_usb(const std::string& id, Done done);
  void change_usb(const std::string& id, std::optional<StorageDeviceAttachment> medium, Done done);
  // By index; nothing: its cable is pulled.
  void attach_network(size_t device, std::optional<NetworkDeviceAttachment> attachment, Done done);
  // To a port of the guest.
  void connect(uint32_t port, std::function<void(Result<VirtioSocketConnection>)> done);
  // `done` is called with its number.
  void attach_storage(const StorageDeviceConfiguration& device, std::function<void(Result<size_t>)> done);
  // Disks by their number.
  void detach_storage(size_t disk, const StorageDeviceDetachOptions& options, Done done);
  void resize_storage(size_t disk, uint64_t size, Done done);
  void limit_storage(size_t disk, const StorageDeviceLimits& limits, Done done);
  void storage_statistics(StorageDevice& disk, std::function<void(Result<StorageDeviceStatistics>)> done);
  void network_statistics(size_t device, std::function<void(Result<NetworkDeviceStatistics>)> done);
  void balloon_statistics(size_t balloon, std::function<void(Result<MemoryBalloonStatistics>)> done);
  // `done` is called with what worked.
  void shutdown(std::chrono::milliseconds grace, std::function<void(Result<ShutdownMeans>)> done);
  Result<> request_stop() { return machine_->request_stop(); }

  // Has call_back() call this. Any thread may ask for it.
  void post(std::function<void()> task);

  // Readable when call_back() has something to call.
  int answered() const;
  void call_back();
  // Calls back what is still to be answered, for at most a second: for the time after the end.
  void finish();

  // Readable once the machine has stopped or failed, or did not start.
  int ended() const { return ended_.get(); }
  // Then: nothing, or what ended it.
  std::optional<Error> error() const;

  // As cli::describe() does, and why cables were pulled by themselves.
  nlohmann::json describe();
  // Called by call_back().
  void on_network_failure(std::function<void(const Error&)> call) { network_failure_ = std::move(call); }

  VirtualMachine& machine() { return *machine_; }

 private:
  struct Answers;
  RunningMachine();
  Result<std::shared_ptr<USBDevice>> find_usb(const std::string& id) const;
  Result<std::shared_ptr<StorageDevice>> find_disk(size_t number) const;
  Completion<> later(Done done);
  template <class T>
  Completion<T> later_with(std::function<void(Result<T>)> done);
  void network_failed(const NetworkDevice& device, const Error& error);

  std::shared_ptr<Answers> answers_;
  std::optional<Error> start_error_;
  bool plug_is_pulled_ = false;
  std::map<const NetworkDevice*, Error> network_errors_;  // Of those that are unplugged.
  std::function<void(const Error&)> network_failure_;
  UniqueFd ended_;
  std::unique_ptr<VirtualMachine> machine_;
  Observation observation_;
};

}  // namespace alcove::cli
