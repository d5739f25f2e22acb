#include "cli/running_machine.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "cli/output.h"

namespace alcove::cli {

// Completions come on the machine's thread, perhaps when the RunningMachine is gone.
struct RunningMachine::Answers {
  const UniqueFd event{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::mutex mutex;
  size_t awaited = 0;
  std::vector<std::pair<Done, Result<>>> arrived;
};

RunningMachine::RunningMachine() : answers_(std::make_shared<Answers>()), ended_(eventfd(0, EFD_CLOEXEC)) {}

Result<std::unique_ptr<RunningMachine>> RunningMachine::create(
    const VirtualMachineConfiguration& configuration) {
  auto machine = VirtualMachine::create(configuration);
  if (!machine) return std::unexpected(machine.error());
  std::unique_ptr<RunningMachine> running(new RunningMachine);
  running->machine_ = std::move(*machine);
  const auto tell = [fd = running->ended_.get()](VirtualMachineState state) {
    if (state == VirtualMachineState::stopped || state == VirtualMachineState::error) eventfd_write(fd, 1);
  };
  running->observation_ = running->machine_->observe(
      {.state_changed = tell,
       .network_attachment_was_disconnected = [self = running.get()](const NetworkDevice& device,
                                                                     const Error& error) {
         self->post([self, &device, error] { self->network_failed(device, error); });
       }});
  return running;
}

Completion<> RunningMachine::later(Done done) {
  const std::lock_guard lock(answers_->mutex);
  ++answers_->awaited;
  return [answers = answers_, done = std::move(done)](Result<> result) mutable {
    const std::lock_guard held(answers->mutex);
    answers->arrived.emplace_back(std::move(done), std::move(result));
    eventfd_write(answers->event.get(), 1);
  };
}

template <class T>
Completion<T> RunningMachine::later_with(std::function<void(Result<T>)> done) {
  const auto value = std::make_shared<std::optional<Result<T>>>();
  auto answer = later([value, done = std::move(done)](const Result<>&) { done(*std::move(*value)); });
  return [value, answer = std::move(answer)](Result<T> result) mutable {
    *value = std::move(result);
    answer({});
  };
}

void RunningMachine::start(Done done) {
  machine_->start(later([this, done = std::move(done)](Result<> result) {
    if (!result) {
      start_error_ = result.error();
      eventfd_write(ended_.get(), 1);
    }
    done(std::move(result));
  }));
}
void RunningMachine::pause(Done done) {
  machine_->pause(later(std::move(done)));
}
void RunningMachine::resume(Done done) {
  machine_->resume(later(std::move(done)));
}
void RunningMachine::shutdown(std::chrono::milliseconds grace,
                              std::function<void(Result<ShutdownMeans>)> done) {
  machine_->shutdown(grace, later_with(std::move(done)));
}
void RunningMachine::stop(Done done) {
  const pid_t process = machine_->process_id();
  if (machine_->can_stop() || process <= 0) return machine_->stop(later(std::move(done)));
  plug_is_pulled_ = true;
  ::kill(process, SIGKILL);
  later(std::move(done))({});
}

void RunningMachine::attach_usb(const USBMassStorageDeviceConfiguration& device, Done done) {
  const auto& controllers = machine_->usb_controllers();
  if (controllers.empty()) {
    return done(fail(kUSBControllerNotFound, "usb_controllers", "the machine has no USB controller",
                     "add one to the machine file: [[usb_controllers]] with type = \"xhci\""));
  }
  controllers.front()->attach(std::make_shared<USBMassStorageDevice>(device), later(std::move(done)));
}
Result<std::shared_ptr<USBDevice>> RunningMachine::find_usb(const std::string& id) const {
  std::vector<std::shared_ptr<USBDevice>> found;
  for (const USBController* controller : machine_->usb_controllers()) {
    for (auto& device : controller->usb_devices()) {
      if (!id.empty() && device->uuid().string().starts_with(id)) found.push_back(std::move(device));
    }
  }
  if (found.size() == 1) return std::move(found.front());
  return fail(kUSBDeviceNotFound, id,
              found.empty() ? "no such USB device is plugged in" : "several USB devices begin so",
              "`alcove usb list` shows them");
}

void RunningMachine::detach_usb(const std::string& id, Done done) {
  const auto device = find_usb(id);
  if (!device) return done(std::unexpected(device.error()));
  (*device)->usb_controller()->detach(*device, later(std::move(done)));
}

void RunningMachine::change_usb(const std::string& id, std::optional<StorageDeviceAttachment> medium,
                                Done done) {
  const auto device = find_usb(id);
  if (!device) return done(std::unexpected(device.error()));
  (*device)->usb_controller()->change_medium(std::dynamic_pointer_cast<USBMassStorageDevice>(*device),
                                             std::move(medium), later(std::move(done)));
}

void RunningMachine::attach_network(size_t device, std::optional<NetworkDeviceAttachment> attachment,
                                    Done done) {
  const auto& devices = machine_->network_devices();
  if (device >= devices.size()) {
    return done(fail(ErrorCode::not_supported, "--device",
                     devices.empty() ? "the machine has no network card" : "it has no such network card",
                     "`alcove info` shows them, from 0 on"));
  }
  NetworkDevice* card = devices[device];
  card->set_attachment(std::move(attachment), later([this, card, done = std::move(done)](Result<> result) {
                         if (result) network_errors_.erase(card);
                         done(std::move(result));
                       }));
}

void RunningMachine::network_failed(const NetworkDevice& device, const Error& error) {
  network_errors_.insert_or_assign(&device, error);
  if (network_failure_) network_failure_(error);
}

nlohmann::json RunningMachine::describe() {
  nlohmann::json result = cli::describe(*machine_);
  for (size_t index = 0; index < machine_->network_devices().size(); ++index) {
    const auto found = network_errors_.find(machine_->network_devices()[index]);
    if (found != network_errors_.end()) result["network_devices"][index]["error"] = to_json(found->second);
  }
  return result;
}

void RunningMachine::connect(uint32_t port, std::function<void(Result<VirtioSocketConnection>)> done) {
  const auto& devices = machine_->socket_devices();
  if (devices.empty()) {
    return done(fail(ErrorCode::not_supported, "socket_devices", "the machine has no socket device",
                     "add one to the machine file: [[socket_devices]] with type = \"virtio_socket\""));
  }
  devices.front()->connect(port, later_with(std::move(done)));
}

Result<std::shared_ptr<StorageDevice>> RunningMachine::find_disk(size_t number) const {
  for (auto& disk : machine_->storage_devices()) {
    if (disk->number() == number) return disk;
  }
  return fail(ErrorCode::not_supported, fmt::format("storage_devices[{}]", number),
              "the machine has no such disk", "`alcove storage list` shows them");
}

void RunningMachine::attach_storage(const StorageDeviceConfiguration& device,
                                    std::function<void(Result<size_t>)> done) {
  auto answer = later_with(std::move(done));
  machine_->attach_storage_device(
      device, [answer = std::move(answer)](const Result<std::shared_ptr<StorageDevice>>& disk) mutable {
        if (!disk) return answer(std::unexpected(disk.error()));
        answer((*disk)->number());
      });
}

void RunningMachine::detach_storage(size_t disk, const StorageDeviceDetachOptions& options, Done done) {
  auto found = find_disk(disk);
  if (!found) return done(std::unexpected(found.error()));
  machine_->detach_storage_device(*std::move(found), options, later(std::move(done)));
}

void RunningMachine::resize_storage(size_t disk, uint64_t size, Done done) {
  const auto found = find_disk(disk);
  if (!found) return done(std::unexpected(found.error()));
  (*found)->resize(size, later(std::move(done)));
}

void RunningMachine::limit_storage(size_t disk, const StorageDeviceLimits& limits, Done done) {
  const auto found = find_disk(disk);
  if (!found) return done(std::unexpected(found.error()));
  (*found)->set_limits(limits, later(std::move(done)));
}

void RunningMachine::storage_statistics(StorageDevice& disk,
                                        std::function<void(Result<StorageDeviceStatistics>)> done) {
  disk.statistics(later_with(std::move(done)));
}

void RunningMachine::network_statistics(size_t device,
                                        std::function<void(Result<NetworkDeviceStatistics>)> done) {
  machine_->network_devices()[device]->statistics(later_with(std::move(done)));
}

void RunningMachine::balloon_statistics(size_t balloon,
                                        std::function<void(Result<MemoryBalloonStatistics>)> done) {
  machine_->memory_balloon_devices()[balloon]->statistics(later_with(std::move(done)));
}

std::optional<Error> RunningMachine::error() const {
  if (plug_is_pulled_) return std::nullopt;
  return start_error_ ? start_error_ : machine_->error();
}

void RunningMachine::post(std::function<void()> task) {
  later([task = std::move(task)](const Result<>&) { task(); })({});
}

int RunningMachine::answered() const {
  return answers_->event.get();
}

void RunningMachine::call_back() {
  eventfd_t count = 0;
  eventfd_read(answers_->event.get(), &count);
  std::vector<std::pair<Done, Result<>>> arrived;
  {
    const std::lock_guard lock(answers_->mutex);
    arrived.swap(answers_->arrived);
    answers_->awaited -= arrived.size();
  }
  for (auto& [done, result] : arrived) done(std::move(result));
}

void RunningMachine::finish() {
  // Answered after all that observers have still to be told.
  machine_->resume(later([](const Result<>&) {}));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while (true) {
    call_back();
    {
      const std::lock_guard lock(answers_->mutex);
      if (answers_->awaited == 0) return;
    }
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd wait{.fd = answered(), .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || poll(&wait, 1, static_cast<int>(left.count())) == 0) return;
  }
}

}  // namespace alcove::cli
